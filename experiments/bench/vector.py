"""Time a step of many environments that share one executor against a step of one.

The executor answers after 0.2 s and takes 64 calls at once. A step goes through three waves: the self-test, the first
items, which must not all time out, and the rest. What the calls alone need, wave by wave, is printed beside. The
sandbox takes what is left: it runs a process for every item, which needs processors.

    python experiments/bench/vector.py
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from dataclasses import dataclass

import tyro

from w4s_gym.action import format_action
from w4s_gym.evaluation import EvaluationLimits
from w4s_gym.executors import ChatReply, ChatRequest
from w4s_gym.executors.base import Completion
from w4s_gym.usage import Usage
from w4s_gym.vector import VectorWorkflowDesignEnv

_WORKFLOW = """
def solver(agent, task):
    # candidate {number}
    return agent.call_json_format_llm(messages=[{{"role": "user", "content": task}}], return_dict_keys=["answer"])[0]
"""


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    envs: int = 8
    """Environments that step together."""
    items: int = 24
    """Validation items of each."""
    latency: float = 0.2
    """Seconds that the executor takes for a call."""
    slots: int = 64
    """Calls that it takes at once."""
    steps: int = 4
    """Steps that are timed; the best counts."""
    goal: float = 1.3
    """Most times as long as one environment."""


class SlowExecutor:
    """Answers every call with the same number, late."""

    name = "slow"
    simulated = True

    def __init__(self, latency: float, slots: int) -> None:
        self._latency = latency
        self._slots = slots
        self._free: asyncio.Semaphore | None = None

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Wait for a place, then answer."""
        self._free = self._free or asyncio.Semaphore(self._slots)
        async with self._free:
            await asyncio.sleep(self._latency)
        texts = [json.dumps({"answer": "1"})] * request.n
        return ChatReply(tuple(Completion(text) for text in texts), Usage(calls=request.n, completion_tokens=request.n))

    async def close(self) -> None:
        """Hold nothing."""


def time_step(options: Options, envs: int) -> float:
    """Return the seconds of the fastest step of so many environments."""
    executor = SlowExecutor(options.latency, options.slots)
    vector = VectorWorkflowDesignEnv(
        "GSMSymbolic", executor, num_envs=envs, validation_size=options.items, test_size=1, max_turns=options.steps + 1
    )
    vector.reset(seed=0)
    seconds = []
    for number in range(options.steps):
        actions = [format_action("Again.", _WORKFLOW.format(number=f"{number}/{i}")) for i in range(envs)]
        started = time.monotonic()
        vector.step(actions)
        seconds.append(time.monotonic() - started)
    vector.close()
    return min(seconds)


def least(options: Options, envs: int, probe: int = EvaluationLimits().probe) -> float:
    """Return the seconds that the calls of a step need, wave by wave; the self-test's item is one of the first."""
    waves = (1, probe - 1, options.items - probe)
    return sum(math.ceil(envs * calls / options.slots) for calls in waves) * options.latency


def main(options: Options) -> None:
    one, many = time_step(options, 1), time_step(options, options.envs)
    for envs, seconds in ((1, one), (options.envs, many)):
        print(f"{envs} environments: {seconds:.2f} s; their calls alone need {least(options, envs):.2f} s")
    print(
        f"ratio {many / one:.2f}, of the calls alone {least(options, options.envs) / least(options, 1):.2f} "
        f"(goal: at most {options.goal}; one after the other: {options.envs})"
    )
    sys.exit(many / one > options.goal)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
