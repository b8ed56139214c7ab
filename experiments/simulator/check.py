r"""Does the simulator predict a real model? Workflows are recorded on one, then half of them is predicted.

1. Records workflows (plain text and JSON, votes, programs, repairs) with a real executor; by default ChainSum's
   one-step word problems with a model of 135 million parameters on this machine. A run that was stopped goes on.
2. Fits a simulated profile to every second workflow (in the order of a hash), predicts the others, and the other way
   round, so that every workflow is predicted by a profile that has not seen it.

    python experiments/simulator/check.py
    python experiments/simulator/check.py --executor local:qwen2.5-coder-1.5b --benchmark GSM8K --options "{}" \
        --room 4 --folder experiments/simulator/recordings/qwen2.5-coder-1.5b      # recorded already: nothing is asked
    python experiments/simulator/check.py --executor local:qwen2.5-coder-1.5b --benchmark GSM8K --options "{}" \
        --room 4 --executor-config '{"engine": "openvino", "parallel": 32, "threads": 2, "context": 1536}' \
        --folder runs/check_qwen --ship w4s_gym/executors/profiles/qwen2.5-coder-1.5b.json

With `--ship` a profile that is fitted to all workflows is written, with the error of the blind prediction in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import tyro
from in_process import InProcess
from numpy.typing import NDArray
from recorded_workflows import recorded_workflows
from rich.console import Console
from rich.table import Table

import w4s_gym  # noqa: F401 - registers the benchmarks
from w4s_gym.benchmark import Benchmark, Item, get_benchmark
from w4s_gym.calibration.recorded import (
    Comparison,
    Recorded,
    Simulation,
    accuracies,
    blank_profile,
    fit_run,
    profile_to_dict,
    read_run,
)
from w4s_gym.episode import Episode
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors import make_executor
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.profile import Domain
from w4s_gym.journal import Journal
from w4s_gym.ledger import Ledger
from w4s_gym.measure import evaluation_view
from w4s_gym.options import json_object
from w4s_gym.paths import expand_arguments
from w4s_gym.sandbox import Sandbox
from w4s_gym.sandbox.types import Limits

_PARALLEL = 4
"""Calls at a time where the executor has no option for it."""
_SIMULATED = 400
"""Items that accuracies are simulated on, the recorded ones among them: how hard an item is, is drawn there."""
_ROUNDS = 8


@dataclass(frozen=True)
class Args:
    """Options."""

    executor: str = "local:smollm2-135m"
    """The real executor to record."""
    benchmark: str = "ChainSum"
    """Benchmark of the items."""
    options: str = '{"style": "story", "size": 40}'
    """Options of its items, as JSON."""
    items: int = 40
    """Number of items: those that a hash of the ids puts first."""
    room: int = 1
    """How many times the tokens that a one-step word problem takes each reply may have."""
    executor_config: str = "{}"
    """Options of the executor, as JSON; it is asked `parallel` things at a time."""
    folder: Path = Path("runs/check_sim")
    """Where the journal and the replies are kept."""
    record_only: bool = False
    """Stop after recording."""
    ship: Path | None = None
    """Profile file to write."""

    def load(self, count: int) -> list[Item]:
        """Return the first items of the order of a hash; all, where there are fewer."""
        items = get_benchmark(self.benchmark).load(**json_object("--options", self.options))
        return sorted(items, key=lambda item: hashlib.blake2b(item.id.encode()).digest())[:count]

    def named(self) -> dict[str, str]:
        """Return the workflows by their source."""
        return {source: name for name, source in recorded_workflows(self.room).items()}


async def record(args: Args, sandbox: Sandbox) -> None:
    """Run the workflows that the journal lacks on the real executor."""
    path = args.folder / "journal.jsonl"
    args.folder.mkdir(parents=True, exist_ok=True)
    done = {r.source for r in read_run(path)} if path.exists() and path.stat().st_size else set()
    benchmark = get_benchmark(args.benchmark)
    items = args.load(args.items)
    config = {"cache_folder": str(args.folder / "cache"), **json_object("--executor-config", args.executor_config)}
    # A local model answers a few calls at a time, so calls wait for each other: that is not the workflow's fault.
    limits = EvaluationLimits(in_flight=config.get("parallel", _PARALLEL), run=Limits(absolute_seconds=3600.0))
    with Journal(path) as journal:
        for source, name in args.named().items():
            if source in done:
                continue
            executor = make_executor(args.executor, config)
            began = time.monotonic()
            try:
                evaluation = await Evaluator(benchmark, executor, sandbox, limits).evaluate(
                    source, items, Episode(0, Ledger("record"))
                )
            finally:
                await executor.close()
            journal.write(
                "evaluation", executor=args.executor, part="test", workflow=source, **evaluation_view(evaluation)
            )
            print(f"recorded {name}: {evaluation.accuracy:.3f} ({time.monotonic() - began:.0f} s)", flush=True)


def in_process(
    simulation: Simulation, benchmark: Benchmark, domain: Domain, workflows: Sequence[Recorded], items: Sequence[Item]
) -> NDArray[np.float64]:
    """Simulate without the sandbox: the workflows are this project's own. Predictions run through the evaluator."""
    executor = SimulatedExecutor(f"sim:{simulation.profile.name}", simulation.with_domain(domain))
    runner = InProcess(benchmark, items)
    return np.array([np.mean(runner.scores(executor, workflow.source)) for workflow in workflows])


def predict(args: Args, sandbox: Sandbox) -> None:
    """Fit on each half of the workflows, predict the other half, and print both."""
    benchmark, names = get_benchmark(args.benchmark), args.named()
    simulated_on = args.load(max(args.items, _SIMULATED))
    items = simulated_on[: args.items]
    recorded = [w for w in read_run(args.folder / "journal.jsonl") if w.source in names]
    recorded.sort(key=lambda w: hashlib.blake2b(names[w.source].encode()).digest())
    parts = (recorded[::2], recorded[1::2])
    title = f"{args.executor} on {len(items)} items of {args.benchmark}, simulated on {len(simulated_on)}"
    table = Table(title=f"Simulated prediction of {title}")
    for column in ("fitted on", "workflow", "real", "simulated", "error"):
        table.add_column(column, justify="left" if column in ("fitted on", "workflow") else "right")
    blind: list[Comparison] = []
    lines = []
    for label, fitted, held_out in (("half A", *parts), ("half B", *reversed(parts))):
        simulation = Simulation(benchmark, blank_profile(args.executor, f"check/{args.executor}"), sandbox)
        fit = fit_run(partial(in_process, simulation, benchmark), fitted, items, Domain(), _ROUNDS, simulated_on)
        found = simulation.measure(fit.domain, held_out, simulated_on)
        comparison = Comparison(accuracies(held_out, items), found)
        blind.append(comparison)
        for workflow, real, simulated in zip(held_out, comparison.real, found, strict=True):
            table.add_row(
                label, names[workflow.source], f"{real:.3f}", f"{simulated:.3f}", f"{100 * (simulated - real):+.1f}"
            )
        lines.append(
            f"simulated, fitted on {label} ({len(fitted)} workflows, mean absolute error there "
            f"{100 * np.mean(np.abs(fit.simulated - fit.measured)):.1f} points): on the {len(held_out)} others mean "
            f"absolute error {100 * comparison.error:.1f} points, rank correlation {comparison.rank_correlation:.2f}"
        )
    console = Console(width=130, markup=False)
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True)
    both = Comparison(np.concatenate([c.real for c in blind]), np.concatenate([c.simulated for c in blind]))
    spread = 100 * np.mean(np.abs(both.real - both.real.mean()))
    summary = (
        f"simulated, all {len(both.real)} workflows predicted blind: mean absolute error {100 * both.error:.1f} "
        f"points, rank correlation {both.rank_correlation:.2f}; always saying the mean would be off by {spread:.1f}"
    )
    console.print(summary, soft_wrap=True)
    if args.ship is not None:
        simulation = Simulation(benchmark, blank_profile(args.ship.stem, f"recorded/{args.ship.stem}"), sandbox)
        fit = fit_run(partial(in_process, simulation, benchmark), recorded, items, Domain(), _ROUNDS, simulated_on)
        facts = (
            f"{args.benchmark}: fitted to {len(recorded)} workflows x {len(items)} items of {args.executor} "
            f"(mean absolute error {100 * np.mean(np.abs(fit.simulated - fit.measured)):.1f} points); {summary}",
            "Other benchmarks: nothing was recorded, the defaults of the simulator stand there.",
            "Price: none, it runs on one's own machine. Latency, faults: not measured.",
        )
        made = replace(simulation.with_domain(fit.domain), provenance=facts)
        args.ship.write_text(json.dumps(profile_to_dict(made), indent=1) + "\n", encoding="utf-8")
        console.print(f"written: {args.ship}", soft_wrap=True)


def main(args: Args) -> None:
    """Record, fit, predict."""
    with Sandbox() as sandbox:
        asyncio.run(record(args, sandbox))
    if not args.record_only:
        with Sandbox() as sandbox:
            predict(args, sandbox)


if __name__ == "__main__":
    main(tyro.cli(Args, args=expand_arguments(sys.argv[1:]), description=__doc__))
