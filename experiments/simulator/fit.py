r"""Makes a simulated profile out of a recorded run of a real executor: journal in, profile out.

The journal's records of kind `evaluation` (a workflow's source, and a score per item) are all it needs; for a
comparison they are those of all its designers. The profile is fitted on one half of the items; the calibration error
is that of the other half.

    python experiments/simulator/fit.py --journal runs/check_sim/journal.jsonl --benchmark ChainSum \
        --options '{"style": "story", "size": 40}' --name smollm2-135m --out smollm2.json

Afterwards the executor is `sim:smollm2.json`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

import w4s_gym  # noqa: F401 - registers the benchmarks
from w4s_gym.benchmark import get_benchmark
from w4s_gym.calibration.recorded import (
    Comparison,
    Simulation,
    accuracies,
    blank_profile,
    fit_run,
    halves,
    profile_to_dict,
    read_run,
)
from w4s_gym.command_line import guarded
from w4s_gym.errors import ConfigError
from w4s_gym.executors.simulation.profile import Domain, load_profile
from w4s_gym.paths import expand_arguments
from w4s_gym.sandbox import Sandbox


@dataclass(frozen=True)
class Args:
    """Options."""

    journal: Path
    """Journal of the recorded run, or run folder of a comparison."""
    benchmark: str
    """Benchmark of the run."""
    out: Path
    """Profile file to write."""
    options: str = "{}"
    """Options of the benchmark's items in the run, as JSON (what `gym.make` was given)."""
    name: str = "recorded"
    """Name of the profile."""
    most: int = 60
    """Most workflows to fit to, the first that were measured."""
    base: str = ""
    """Profile to start from and to keep the other domains of (default: a blank one)."""


def main(args: Args) -> None:
    """Fit, compare on held-out items, write."""
    console = Console(width=120, markup=False)
    benchmark = get_benchmark(args.benchmark)
    workflows = read_run(args.journal)[: args.most]
    measured = set().union(*(w.scores for w in workflows))
    items = [item for item in benchmark.load(**json.loads(args.options)) if item.id in measured]
    if not items:
        raise ConfigError(f"expected a run on {args.benchmark}; none of its {len(measured)} items is one of that")
    fitted_items, held_out = halves(items)
    profile = load_profile(args.base) if args.base else blank_profile(args.name, f"recorded/{args.name}")
    with Sandbox() as sandbox:
        simulation = Simulation(benchmark, profile, sandbox)
        kind = items[0].kind if items else "number"
        start = profile.domain_of(args.benchmark, kind) if args.base else Domain()
        fit = fit_run(simulation.measure, workflows, fitted_items, start)
        simulated = simulation.measure(fit.domain, workflows, held_out, 3)
    comparison = Comparison(accuracies(workflows, held_out), simulated)
    table = Table(title=f"Calibration of the simulated {args.name} on {len(held_out)} held-out items")
    for column in ("workflow", "real", "simulated", "error"):
        table.add_column(column, justify="left" if column == "workflow" else "right")
    for number, (real, sim) in enumerate(zip(comparison.real, simulated, strict=True), 1):
        table.add_row(f"workflow {number}", f"{real:.3f}", f"{sim:.3f}", f"{100 * (sim - real):+.1f}")
    console.print(table)
    summary = (
        f"simulated v real on {len(held_out)} held-out items: mean absolute error {100 * comparison.error:.1f} points, "
        f"rank correlation {comparison.rank_correlation:.2f}, {len(workflows)} workflows"
    )
    console.print(summary)
    made = replace(
        simulation.with_domain(fit.domain),
        name=args.name,
        provenance=(*profile.provenance, f"{args.benchmark}: fitted to {args.journal.name}; {summary}"),
    )
    args.out.write_text(json.dumps(profile_to_dict(made), indent=1) + "\n", encoding="utf-8")
    console.print(f"written: {args.out}; use it as executor sim:{args.out}")


def run(args: Args) -> int:
    """Fit; returns the exit code."""
    main(args)
    return 0


if __name__ == "__main__":
    given = tyro.cli(Args, args=expand_arguments(sys.argv[1:]), description=__doc__)
    sys.exit(guarded(lambda: run(given)))
