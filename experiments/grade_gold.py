"""Grade the gold answers of every benchmark whose data is at hand, and print a table.

Each must score 1.0: this checks data, gold answers, scoring rules and, for code, the hidden tests in the sandbox.

    W4S_DATA_DIR=<folder> python experiments/grade_gold.py
    python experiments/grade_gold.py --benchmarks HumanEval MBPP
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

import w4s_gym.envs  # noqa: F401  (registers the benchmarks)
from w4s_gym.benchmark import Benchmark, Item, benchmark_names, get_benchmark
from w4s_gym.errors import DataMissing
from w4s_gym.sandbox import Sandbox
from w4s_gym.scoring.code import public_job
from w4s_gym.splits import make_split
from w4s_gym.testing import reference_answer


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    benchmarks: tuple[str, ...] = ()
    """Names of benchmarks; all by default."""
    show: int = 5
    """Number of items below 1.0 to name for each benchmark."""


async def grade_all(benchmark: Benchmark, items: Sequence[Item], sandbox: Sandbox) -> list[float]:
    """Grade the gold answer of every item, all in flight together."""
    return await asyncio.gather(*(benchmark.grade(item, reference_answer(item), sandbox.run_tests) for item in items))


async def run_public(items: Sequence[Item], sandbox: Sandbox) -> list[Item]:
    """Return the items whose gold answer fails their public examples."""
    jobs = [public_job(item, reference_answer(item)) for item in items if item.public_tests]
    outcomes = await asyncio.gather(*(sandbox.run_tests(job) for job in jobs))
    tested = [item for item in items if item.public_tests]
    return [item for item, outcome in zip(tested, outcomes, strict=True) if outcome.status != "ok"]


def main(options: Options) -> int:
    """Print the table; return the number of items whose gold answer is not graded 1.0."""
    console = Console(markup=False)
    table = Table("benchmark", "items", "gold = 1.0", "public pass", "load s", "grade s", "public s", "split")
    table.add_column("hash", no_wrap=True)
    failures: list[str] = []
    with Sandbox() as sandbox:
        for name in options.benchmarks or benchmark_names():
            benchmark = get_benchmark(name)
            start = time.perf_counter()
            try:
                items = benchmark.load()
            except DataMissing as error:
                table.add_row(name, "no data")
                console.print(str(error), style="yellow", markup=False)
                continue
            loaded = time.perf_counter()
            scores = asyncio.run(grade_all(benchmark, items, sandbox))
            graded = time.perf_counter()
            failing = asyncio.run(run_public(items, sandbox))
            tested = time.perf_counter()
            wrong = [item.id for item, score in zip(items, scores, strict=True) if score != 1.0]
            public = sum(bool(item.public_tests) for item in items)
            failures += wrong + [item.id for item in failing]
            split = make_split(items, benchmark.validation_size, benchmark.test_size)
            table.add_row(
                name,
                str(len(items)),
                str(len(items) - len(wrong)),
                f"{public - len(failing)}/{public}" if public else "",
                f"{loaded - start:.1f}",
                f"{graded - loaded:.1f}",
                f"{tested - graded:.1f}" if public else "",
                f"{len(split.validation)}/{len(split.test)}",
                split.hash,
            )
            if wrong:
                console.print(
                    f"{name}: not 1.0 on {', '.join(wrong[: options.show])} ({len(wrong)} in all)", style="red"
                )
            if failing:
                console.print(f"{name}: public examples fail on {', '.join(item.id for item in failing)}", style="red")
    console.print(table)
    return len(failures)


if __name__ == "__main__":
    raise SystemExit(min(main(tyro.cli(Options)), 1))
