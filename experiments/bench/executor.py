"""Time an evaluation whose calls all go through one pool: 5 candidates x 128 items against a local server.

The server answers after 0.2 s and takes 64 calls at once, so 640 calls need at least ceil(640 / 64) x 0.2 s = 2 s.
The whole evaluation (sandbox, executor, grading) may take 1.10 x that plus 1 s.

    python experiments/bench/executor.py
"""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from w4s_gym.benchmark import Benchmark, Item, never_blocks, pure_grader
from w4s_gym.episode import Episode
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors import ChatRequest, Executor, make_executor
from w4s_gym.ledger import Ledger
from w4s_gym.results import Evaluation
from w4s_gym.sandbox import Sandbox

_SERVER = Path(__file__).parents[2] / "tests" / "executors" / "fault_server.py"
_WORKFLOW = '''
def solver(agent, task):
    """Candidate {number}."""
    return agent.call_json_format_llm(
        messages=[{{"role": "user", "content": task}}], return_dict_keys=["answer"], instructions="Candidate {number}."
    )[0]
'''


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    candidates: int = 5
    """Workflows evaluated together."""
    items: int = 128
    """Items of each."""
    latency: float = 0.2
    """Seconds that the server takes for a call."""
    slots: int = 64
    """Calls that the server takes at once."""
    repeats: int = 3
    """Number of measurements."""


async def ask_only(executor: Executor, items: Sequence[Item], candidates: int) -> float:
    """Make the same calls without workflows and sandbox; return the seconds."""
    started = time.monotonic()
    await asyncio.gather(
        *(
            executor.complete(ChatRequest(messages=({"role": "user", "content": item.task},), draw=candidate))
            for candidate in range(candidates)
            for item in items
        )
    )
    return time.monotonic() - started


async def evaluate(evaluator: Evaluator, items: Sequence[Item], candidates: int) -> float:
    """Evaluate the candidates together; return the seconds."""
    workflows = [_WORKFLOW.format(number=number) for number in range(candidates)]
    started = time.monotonic()
    results = await evaluator.evaluate_many(workflows, items, Episode(0, Ledger("run")))
    seconds = time.monotonic() - started
    for result in results:
        if not isinstance(result, Evaluation) or result.accuracy != 1.0:
            told = result.statuses if isinstance(result, Evaluation) else result
            raise RuntimeError(f"expected every answer to be right; got {told}. Is the machine busy?")
    return seconds


async def measure(options: Options, base_url: str) -> list[tuple[float, float, float]]:
    """Return per repeat the seconds of the calls alone, of the evaluation, and of the processor in this process."""
    items = [Item(f"sum/{a}", f"{a} + 7 =", str(a + 7)) for a in range(options.items)]
    grade = pure_grader(never_blocks(lambda gold, answer: float(answer == gold)))
    benchmark = Benchmark("Sums", "Sums of two numbers.", "The sum.", lambda: items, grade, ())
    limits = EvaluationLimits(in_flight=2 * options.slots)
    times = []
    with Sandbox() as sandbox:
        sandbox.report()  # starts it
        for repeat in range(options.repeats):
            # Each measurement has an address of its own, so that its pool has to find its size again.
            executors = [
                make_executor("openai:model", {"base_url": f"{base_url}/{kind}/{repeat}", "concurrency": options.slots})
                for kind in ("calls", "evaluation")
            ]
            calls = await ask_only(executors[0], items, options.candidates)
            evaluator = Evaluator(benchmark, executors[1], sandbox, limits)
            processor = time.process_time()
            evaluation = await evaluate(evaluator, items, options.candidates)
            times.append((calls, evaluation, time.process_time() - processor))
            for executor in executors:
                await executor.close()
    return times


def main(options: Options) -> int:
    """Print the figures; return 1 if the median is above the limit."""
    command = [sys.executable, str(_SERVER), "--latency", str(options.latency), "--slots", str(options.slots)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        times = asyncio.run(measure(options, json.loads(server.stdout.readline())["base_url"]))
    finally:
        server.kill()
        server.communicate()
    ideal = math.ceil(options.candidates * options.items / options.slots) * options.latency
    limit = 1.10 * ideal + 1.0
    median = sorted(seconds for _, seconds, _ in times)[len(times) // 2]
    print(
        f"{options.candidates} candidates x {options.items} items, {options.latency} s latency, {options.slots} slots"
    )
    print(f"ideal {ideal:.2f} s, limit 1.10 x ideal + 1 s = {limit:.2f} s")
    for calls, evaluation, processor in times:
        print(
            f"calls alone {calls:.2f} s; evaluation {evaluation:.2f} s = {evaluation / ideal:.2f} x ideal, "
            f"of which the processor worked {processor:.2f} s in this process"
        )
    print(f"median evaluation {median:.2f} s: {'within' if median <= limit else 'ABOVE'} the limit")
    return int(median > limit)


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))
