"""Calibration of the simulated executors: published against simulated accuracies of hand-made workflows.

`python experiments/simulator/calibrate.py` runs every published hand-made workflow as a real workflow, through the
sandbox and the evaluator, and prints published, simulated and error per cell; beside it the error of the same cell
when its workflow was left out of the fitting (measured in process, which gives the same answers). `--fit` fits the
profiles first and writes them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from in_process import InProcess
from numpy.typing import NDArray
from published import PUBLISHED, Cell, cells
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import w4s_gym  # noqa: F401 - registers the benchmarks
from w4s_gym.benchmark import Item, get_benchmark
from w4s_gym.calibration.fitting import PRIORS, Fit, Size, fit_domain
from w4s_gym.episode import Episode
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.profile import PROFILE_FOLDER, Domain, Profile, load_profile
from w4s_gym.ledger import Ledger
from w4s_gym.paths import expand_arguments
from w4s_gym.sandbox import Sandbox
from w4s_gym.splits import make_split
from w4s_gym.workflows import hand_made_workflow

LEFT_OUT = Path(__file__).parent / "left_out.json"
"""Domains fitted without one workflow: {profile: {benchmark: {workflow: domain}}}."""
_PROBE, _SLOPE = 120, 250
_FITTED_ELSEWHERE = frozenset({"direct", "code"})
"""Parameters that no published cell measures; set by hand, see the profiles' provenance."""


@dataclass
class Args:
    """Options."""

    profiles: tuple[str, ...] = ("gpt-4o-mini", "gpt-3.5-turbo")
    """Profiles to calibrate."""
    benchmarks: tuple[str, ...] = ()
    """Only these benchmarks (default: all published ones with data)."""
    items: int = 400
    """Largest number of test items per benchmark."""
    fit: bool = False
    """Fit the profiles before the table is made, and write them."""
    left_out: bool = True
    """Also measure each cell with its workflow left out of the fitting (in process, without the sandbox)."""
    out: Path | None = None
    """Write the figures as JSON to this file too."""
    keep: dict[str, float] = field(default_factory=dict)
    """With `--fit`: set these domain parameters of the chosen benchmarks first."""


def test_items(benchmark: str, count: int) -> Sequence[Item]:
    """Return the test items of a benchmark's default split (the published split where there is one)."""
    found = get_benchmark(benchmark)
    items = found.load()
    published = found.published_split(items) if found.published_split else None
    kind = "published" if published else "seeded"
    sizes = (min(found.validation_size, len(items) // 5), found.test_size)
    return make_split(items, *sizes, kind=kind, published=published).test[:count]


def fit_benchmark(profile: Profile, benchmark: str, count: int, start: dict[str, float]) -> Fit:
    """Fit one domain of a profile to the published figures, in process."""
    wanted = cells(profile.name, benchmark)
    items = test_items(benchmark, count)
    runner = InProcess(get_benchmark(benchmark), items)
    sources = [hand_made_workflow(cell.workflow, items[0].kind) for cell in wanted]
    base = SimulatedExecutor(f"sim:{profile.name}", profile)
    base.prepare(items, benchmark)
    sizes: dict[Size, int] = {"probe": _PROBE, "slope": _SLOPE, "full": count}

    def measure(domain: Domain, rows: Sequence[int], size: Size) -> NDArray[np.float64]:
        executor = base.retuned(replace(profile, domains={**profile.domains, benchmark: domain}))
        found = [np.mean(runner.scores(executor, sources[row], sizes[size])) for row in rows]
        return np.array(found)

    domain = replace(profile.domain_of(benchmark, items[0].kind), **start)
    priors = [p for p in PRIORS if p.name not in _FITTED_ELSEWHERE]
    return fit_domain(domain, [cell.published / 100 for cell in wanted], measure, priors=priors)


def write_fit(profile: Profile, benchmark: str, fit: Fit) -> None:
    """Write a fitted domain into the profile's file, and its left-out variants beside this script."""
    path = PROFILE_FOLDER / f"{profile.name}.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["domains"][benchmark] = _changes(fit.domain, data.get("defaults", {}))
    path.write_text(_dump(data), encoding="utf-8")
    variants = _left_out()
    fitted = [prior.name for prior in fit.priors]
    per_workflow = {
        cell.workflow: {name: asdict(fit.without(row))[name] for name in fitted}
        for row, cell in enumerate(cells(profile.name, benchmark))
    }
    variants.setdefault(profile.name, {})[benchmark] = per_workflow
    LEFT_OUT.write_text(_dump(variants), encoding="utf-8")


def _changes(domain: Domain, defaults: dict[str, float]) -> dict[str, float]:
    usual = {**asdict(Domain()), **defaults}
    return {name: value for name, value in asdict(domain).items() if value != usual[name]}


def _left_out() -> dict[str, Any]:
    return json.loads(LEFT_OUT.read_text(encoding="utf-8")) if LEFT_OUT.exists() else {}


def _dump(data: Any, indent: str = "") -> str:
    """Write JSON with one domain, and one statement of the provenance, a line."""
    inner = indent + "  "
    end = "" if indent else "\n"
    if isinstance(data, list):
        return "[\n" + ",\n".join(f"{inner}{json.dumps(v, ensure_ascii=False)}" for v in data) + f"\n{indent}]"
    if not isinstance(data, dict) or not any(isinstance(value, dict) for value in data.values()):
        return json.dumps(data, ensure_ascii=False) + end
    lines = ",\n".join(f"{inner}{json.dumps(key)}: {_dump(value, inner)}" for key, value in data.items())
    return f"{{\n{lines}\n{indent}}}{end}"


async def measure_cells(wanted: Sequence[Cell], count: int, progress: Progress) -> list[dict[str, Any]]:
    """Run the workflows of one benchmark through the evaluator; see the table's columns."""
    profile = load_profile(wanted[0].profile)
    name = wanted[0].benchmark
    benchmark, items = get_benchmark(name), test_items(name, count)
    task = progress.add_task(f"simulated {profile.name} {name}", total=len(wanted))
    sandbox = Sandbox()
    rows = []
    try:
        evaluator = Evaluator(benchmark, SimulatedExecutor(f"sim:{profile.name}"), sandbox, EvaluationLimits())
        for cell in wanted:
            source = hand_made_workflow(cell.workflow, items[0].kind)
            evaluation = await evaluator.evaluate(source, items, Episode(0, Ledger("calibration")))
            rows.append({**asdict(cell), "items": len(items), "simulated": 100 * evaluation.accuracy})
            progress.advance(task)
    finally:
        sandbox.close()
    return rows


def measure_left_out(rows: Sequence[dict[str, Any]], count: int) -> None:
    """Add to the rows of one benchmark what each cell gives under the domain fitted without its workflow."""
    profile, name = load_profile(rows[0]["profile"]), rows[0]["benchmark"]
    variants = _left_out().get(profile.name, {}).get(name, {})
    items = test_items(name, count)
    runner = InProcess(get_benchmark(name), items)
    base = SimulatedExecutor(f"sim:{profile.name}", profile)
    for row in rows:
        # What is set by hand is the same with and without the workflow; only fitted parameters are replaced.
        domain = replace(Domain(), **{**asdict(profile.domains[name]), **variants[row["workflow"]]})
        executor = base.retuned(replace(profile, domains={**profile.domains, name: domain}))
        scores = runner.scores(executor, hand_made_workflow(row["workflow"], items[0].kind))
        row["left_out"] = 100 * float(np.mean(scores))


def print_table(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Print the cells and the mean absolute errors."""
    table = Table(title="Published v simulated accuracy (%), all simulated figures through the real evaluator")
    for column in ("executor", "benchmark", "workflow", "items", "published", "simulated", "error", "left out: error"):
        table.add_column(column, justify="left" if column in ("executor", "benchmark", "workflow") else "right")
    for row in rows:
        error = row["simulated"] - row["published"]
        blind = f"{row['left_out'] - row['published']:+.1f}" if "left_out" in row else ""
        table.add_row(
            f"sim:{row['profile']}", row["benchmark"], row["workflow"], str(row["items"]),
            f"{row['published']:.1f}", f"{row['simulated']:.1f}", f"{error:+.1f}", blind,
        )  # fmt: skip
    console.print(table)
    errors = np.abs([row["simulated"] - row["published"] for row in rows])
    console.print(
        f"simulated: mean absolute error {errors.mean():.2f} points over {len(rows)} cells, worst {errors.max():.1f}"
    )
    blind_errors = np.abs([row["left_out"] - row["published"] for row in rows if "left_out" in row])
    if len(blind_errors):
        console.print(
            f"simulated, workflow left out of the fitting: mean absolute error {blind_errors.mean():.2f} points over "
            f"{len(blind_errors)} cells, worst {blind_errors.max():.1f}"
        )
    console.print("MATH (gpt-4o-mini) has no local data: its six published cells are not part of this table.")


def main(args: Args) -> None:
    """Fit if asked to, then measure and print."""
    console = Console(width=130, markup=False)
    wanted = [
        (profile, benchmark)
        for profile in args.profiles
        for benchmark in PUBLISHED[profile]
        if not args.benchmarks or benchmark in args.benchmarks
    ]
    if args.fit:
        for name, benchmark in wanted:
            began = time.monotonic()
            profile = load_profile(name)
            fit = fit_benchmark(profile, benchmark, args.items, args.keep)
            write_fit(profile, benchmark, fit)
            worst = np.max(np.abs(fit.simulated - fit.measured))
            console.print(
                f"fitted simulated {name} on {benchmark}: mean absolute error "
                f"{100 * np.mean(np.abs(fit.simulated - fit.measured)):.2f}, worst {100 * worst:.1f} points "
                f"({time.monotonic() - began:.0f} s)"
            )
    rows = []
    with Progress(console=Console(stderr=True, markup=False)) as progress:
        for name, benchmark in wanted:
            found = asyncio.run(measure_cells(cells(name, benchmark), args.items, progress))
            if args.left_out:
                measure_left_out(found, args.items)
            rows += found
    print_table(console, rows)
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1) + os.linesep, encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Args, args=expand_arguments(sys.argv[1:])))
