"""Compare designers of workflows under the same budget of executor calls.

    python experiments/compare_algos.py                           # embedded defaults, simulated executor
    python experiments/compare_algos.py --env W4S-MGSM-v0         # real MGSM items (W4S_DATA_DIR)
    python experiments/compare_algos.py --algos untrained seed rlao adas aflow --seeds 5
    python experiments/compare_algos.py --resume                  # go on with the latest run of this configuration
    python experiments/compare_algos.py --report runs/<folder>    # tables and plots again, nothing is run

A run leaves a folder: config.json, journal.jsonl (one record per finished cell), table.md, figures.json, plots,
best_workflow.py, and per cell the trajectories and the trained meta-agent.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro
from _cells import make_environment, run_cell
from _config import CompareConfig
from _designers import find_designer
from _results import Results
from _schedule import Failure, Job, run_jobs
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.journal import RunFolder

console = Console()
if not console.is_terminal:
    console = Console(width=110)  # tables in log files are not squeezed


def main(config: CompareConfig) -> int:
    """Run, resume or report a comparison; returns the exit code."""
    try:
        if config.report is not None:
            write_report(RunFolder.open(config.report), config.track)
            return 0
        if config.resume:
            folder = RunFolder.open(config.run_dir or latest_run(config))
            config = CompareConfig.from_run(folder.config, config)
            check(config)
        else:
            facts = check(config)
            folder = RunFolder.create(config.run_dir or new_run_path(config), config.measured, **facts)
        console.print(f"Run folder: {folder.path}")
        complete = run(config, folder)
        if folder.records("cell"):
            write_report(folder, config.track)
        return 0 if complete else 1
    except W4SError as error:
        console.print(f"[bold red]error:[/bold red] {error}", highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        where = config.run_dir or "the latest run"
        console.print(f"\nInterrupted. Finished cells are kept; go on with --resume ({where}).")
        return 130


def check(config: CompareConfig) -> dict[str, Any]:
    """Try everything that can be wrong with a configuration before anything is paid.

    Returns:
        Whether the executor is simulated, and the level of the sandbox.

    Raises:
        W4SError: what is wrong and what to do.
    """
    known = sorted(name for name in gym.registry if name.startswith("W4S-"))
    if config.env not in known:
        raise ConfigError(f"expected --env among {', '.join(known)}; got {config.env!r}")
    designers = [find_designer(algo) for algo in config.algos]
    if config.policy.startswith("openai:") and any(d.trains for d in designers):
        names = ", ".join(a for a, d in zip(config.algos, designers, strict=True) if not d.trains)
        raise ConfigError(f"expected a policy with weights to train; {config.policy} can be used by --algos {names}")
    env = make_environment(config, "compact", config.turns)
    try:
        env.split  # noqa: B018  (loads the data)
        return {"simulated": env.executor.simulated, "isolation": env.sandbox.report().level}
    finally:
        env.close()


def run(config: CompareConfig, folder: RunFolder) -> bool:
    """Run the cells that are not in the journal yet; returns whether all of them are finished now."""
    done = {(record["algo"], record["seed"]): record["result"] for record in folder.records("cell")}
    missing = [(a, s) for s in range(config.seeds) for a in config.algos if (a, s) not in done]
    if missing and any(find_designer(algo).needs_policy for algo, _ in missing):
        prepare_policy(config.policy)
    with folder.journal() as journal, _progress() as bars:
        board = _Board(bars, total=len(config.algos) * config.seeds, done=len(done))

        def finished(job: Job, outcome: dict[str, Any] | Failure) -> None:
            algo, seed = job.arguments[1], job.arguments[2]
            board.end(job.name, failed=isinstance(outcome, Failure))
            if isinstance(outcome, Failure):
                journal.write(
                    "failure", algo=algo, seed=seed, error=f"{outcome.kind}: {outcome.message}", trace=outcome.trace
                )
            else:
                journal.write("cell", algo=algo, seed=seed, result=outcome)
                done[algo, seed] = outcome

        try:
            # CoT-SC is given the tokens of what the others found, so it comes last.
            for last in (False, True):
                jobs = [_job(config, folder, a, s, done) for a, s in missing if (a == "cot_sc") == last]
                run_jobs(jobs, config.workers, finished, board.show)
        except KeyboardInterrupt:
            journal.write("interrupted", finished=len(done))
            raise
    return len(done) == len(config.algos) * config.seeds


def _job(config: CompareConfig, folder: RunFolder, algo: str, seed: int, done: dict[tuple[str, int], Any]) -> Job:
    path = folder.path / "cells" / f"{Path(algo).stem.replace(':', '-')}-{seed}"
    return Job(
        f"{algo}/{seed}",
        run_cell,
        (config, algo, seed, path, _tokens_to_match(config, seed, done) if algo == "cot_sc" else None),
    )


def _tokens_to_match(config: CompareConfig, seed: int, done: dict[tuple[str, int], Any]) -> float | None:
    """Tokens per item of the workflow that CoT-SC is compared with: RLAO's, else the best found with this seed."""
    if ("rlao", seed) in done:
        return done["rlao", seed]["search"]["tokens_per_item"]
    found = [done[a, seed]["search"] for a in config.algos if a not in ("seed", "cot_sc") and (a, seed) in done]
    return max(found, key=lambda f: f["validation"])["tokens_per_item"] if found else None


def prepare_policy(spec: str) -> None:
    """Load the meta-agent once: a tiny one is built and cached before several processes ask for it."""
    from w4s_gym.algos import make_policy

    start = time.monotonic()
    console.print(f"Meta-agent {spec}: loading (the tiny one is trained once, for a minute or two, and cached) ...")
    make_policy(spec)
    console.print(f"Meta-agent {spec}: ready after {time.monotonic() - start:.0f} s")


def write_report(folder: RunFolder, track: bool) -> None:
    """Make tables, plots and the workflow file from the journal; prints the tables."""
    from _artifacts import write_best_workflow
    from _plots import write_plots
    from _report import ComparisonReport

    results = Results(folder)
    report = ComparisonReport(results)
    report.write(folder.path)
    plots = write_plots(results, folder.path)
    workflow = write_best_workflow(results, folder.path / "best_workflow.py")
    report.show(console)
    for path in (folder.path / "table.md", *plots, workflow):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if track:
        from _track import track as log

        console.print(f"wandb run: {log(results, report, folder.path, workflow)}")


def new_run_path(config: CompareConfig) -> Path:
    """Name a new folder below `runs/`."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"compare__{config.env}__{config.policy.replace('/', '-').replace(':', '-')}__{stamp}"


def latest_run(config: CompareConfig) -> Path:
    """Return the newest folder below `runs/` that was started with this configuration.

    Raises:
        ConfigError: there is none.
    """
    for path in sorted(Path("runs").glob("compare__*/config.json"), key=os.path.getmtime, reverse=True):
        if RunFolder.open(path.parent).config == config.measured:
            return path.parent
    raise ConfigError("expected an earlier run of this configuration below runs/; pass its folder with --run-dir")


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        TextColumn("{task.fields[what]:<22}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console)


class _Board:
    """Live progress: one bar for all cells, one for each that runs."""

    def __init__(self, bars: Progress, total: int, done: int) -> None:
        self._bars = bars
        self._all = bars.add_task("all cells", total=total, completed=done, what=f"{done} of {total}")
        self._total = total
        self._done = done
        self._running: dict[str, TaskID] = {}

    def show(self, name: str, what: str, share: float) -> None:
        """Show what a cell is doing."""
        if name not in self._running:
            self._running[name] = self._bars.add_task(name, total=1.0, what=what)
        self._bars.update(self._running[name], completed=share, what=what)

    def end(self, name: str, failed: bool) -> None:
        """Take a finished cell off the board."""
        if name in self._running:
            self._bars.remove_task(self._running.pop(name))
        self._done += not failed
        self._bars.update(self._all, completed=self._done, what=f"{self._done} of {self._total}")
        self._bars.console.print(f"{name}: {'FAILED' if failed else 'finished'}")


if __name__ == "__main__":
    try:
        given = tyro.cli(CompareConfig, description=__doc__)
    except ConfigError as error:
        sys.exit(f"error: {error}")
    sys.exit(main(given))
