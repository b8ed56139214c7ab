"""Time a step of many environments that share one executor against what its calls need.

The executor answers after 0.2 s and takes 64 calls at once. A step goes through two waves: the self-test on one item,
and the other items together. So the calls of one environment with 24 items need 0.4 s, whatever the places, and those
of eight, 8 and 184 calls through 64 places, 0.8 s: twice as long, and no schedule is faster, as no item of a workflow
may be paid for before its self-test. The step shall take at most 1.3 times what its calls need. The sandbox takes what
is left: it runs a process for every item, which needs processors, so both the seconds of the clock and those of the
processors are printed; on a busy machine the clock says little.

    python experiments/bench/vector.py
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import resource
import sys
import time
from dataclasses import dataclass

import tyro

from w4s_gym.action import format_action
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
    """Most times as long as the calls need."""


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


@dataclass(frozen=True)
class Step:
    """The fastest step of so many environments."""

    seconds: float
    processor_seconds: float
    """Of this process and of those in the sandbox that ended in it, all steps' mean."""


def time_step(options: Options, envs: int) -> Step:
    """Time steps of so many environments."""
    executor = SlowExecutor(options.latency, options.slots)
    vector = VectorWorkflowDesignEnv(
        "GSMSymbolic", executor, num_envs=envs, validation_size=options.items, test_size=1, max_turns=options.steps + 1
    )
    vector.reset(seed=0)
    seconds = []
    worked = processor_seconds()
    for number in range(options.steps):
        actions = [format_action("Again.", _WORKFLOW.format(number=f"{number}/{i}")) for i in range(envs)]
        started = time.monotonic()
        vector.step(actions)
        seconds.append(time.monotonic() - started)
    vector.close()  # its processes end, and count
    return Step(min(seconds), (processor_seconds() - worked) / options.steps)


def processor_seconds() -> float:
    """Seconds that processors worked for this process and for those of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def least(options: Options, envs: int) -> float:
    """Return the seconds that the calls of a step need: the self-tests, then the other items."""
    return sum(math.ceil(envs * calls / options.slots) for calls in (1, options.items - 1)) * options.latency


def main(options: Options) -> None:
    one, many = time_step(options, 1), time_step(options, options.envs)
    for envs, step in ((1, one), (options.envs, many)):
        need = least(options, envs)
        print(
            f"{envs} environments: {step.seconds:.2f} s, {step.seconds / need:.2f} x the {need:.2f} s that their calls "
            f"need; {step.processor_seconds:.2f} s of processors"
        )
    print(
        f"{options.envs} against one: {many.seconds / one.seconds:.2f} x, of their calls "
        f"{least(options, options.envs) / least(options, 1):.2f} x, one after the other {options.envs} x; goal: "
        f"at most {options.goal} x what the calls need; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    )
    sys.exit(many.seconds > options.goal * least(options, options.envs))


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
