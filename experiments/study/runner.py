"""Runs the cells of a study: what is missing in the journal, in a few processes, with live progress.

A study is a list of cells (variant, configuration, designer, seed). A comparison has one variant; an ablation has one
per setting. Finished cells are in the journal, so an interrupted study goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from w4s_gym.errors import ConfigError
from w4s_gym.journal import Journal, RunFolder
from w4s_gym.study.cells import make_environment, run_cell, run_transfer_cell
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.designers import find_designer
from w4s_gym.study.jobs import Failure, Job, run_jobs

console = Console(markup=False)
if not console.is_terminal:
    console = Console(width=110, markup=False)  # tables in log files are not squeezed


@dataclass(frozen=True)
class CellSpec:
    """One cell of a study."""

    config: CompareConfig
    algo: str
    seed: int
    variant: str = ""
    """Name of the setting, where a study has several."""
    trained_on: tuple[str, ...] = ()
    """Transfer only: environments that a meta-agent is trained on, instead of that of `config`."""
    targets: tuple[str, ...] = ()
    """Transfer only: environments that it then designs for."""

    @property
    def configs(self) -> tuple[CompareConfig, ...]:
        """One configuration for each benchmark that the cell runs on."""
        names = dict.fromkeys((*self.trained_on, *self.targets)) or (self.config.env,)
        return tuple(replace(self.config, env=name) for name in names)

    @property
    def key(self) -> tuple[str, str, int]:
        """What tells cells apart in the journal."""
        return (self.variant, self.algo, self.seed)

    @property
    def name(self) -> str:
        """Name for people and folders."""
        return "/".join(part for part in (self.variant, Path(self.algo).name, str(self.seed)) if part)


def comparison_cells(config: CompareConfig, variant: str = "") -> list[CellSpec]:
    """All cells of a comparison; seed by seed, so that an interrupted run has whole comparisons."""
    return [CellSpec(config, algo, seed, variant) for seed in range(config.seeds) for algo in config.algos]


def check(config: CompareConfig) -> dict[str, Any]:
    """Try everything that can be wrong with a configuration before anything is paid.

    Returns:
        Whether the executor is simulated, and the level of the sandbox.

    Raises:
        W4SError: what is wrong and what to do.
    """
    known = sorted(name for name in gym.registry if name.startswith("W4S-"))
    if config.env not in known:
        raise ConfigError(f"expected an environment among {', '.join(known)}; got {config.env!r}")
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


def run_study(folder: RunFolder, cells: Sequence[CellSpec], workers: int) -> bool:
    """Run the cells that are not in the journal yet.

    Returns:
        Whether all of them are finished now.

    Raises:
        ConfigError: another process is running in the folder.
        KeyboardInterrupt: Ctrl-C; finished cells are in the journal.
    """
    with folder.journal() as journal:
        return _run_missing(folder, cells, workers, journal)


def _run_missing(folder: RunFolder, cells: Sequence[CellSpec], workers: int, journal: Journal) -> bool:
    done = {(r["variant"], r["algo"], r["seed"]): r["result"] for r in folder.records("cell")}
    missing = [cell for cell in cells if cell.key not in done]
    configs = [cell.config for cell in missing if find_designer(cell.algo).needs_policy]
    for config in {(c.policy, c.policy_options): c for c in configs}.values():
        _prepare_policy(config)
    with _progress() as bars:
        board = _Board(bars, total=len(cells), done=len(cells) - len(missing))
        by_name = {cell.name: cell for cell in missing}

        def finished(job: Job, outcome: dict[str, Any] | Failure) -> None:
            variant, algo, seed = by_name[job.name].key
            error = f"{outcome.kind}: {outcome.message}" if isinstance(outcome, Failure) else ""
            board.end(job.name, error)
            if isinstance(outcome, Failure):
                journal.write("failure", variant=variant, algo=algo, seed=seed, error=error, trace=outcome.trace)
            else:
                journal.write("cell", variant=variant, algo=algo, seed=seed, result=outcome)
                done[variant, algo, seed] = outcome

        try:
            # CoT-SC is given the tokens of what the others found, so it comes last.
            for last in (False, True):
                jobs = [_job(folder, cell, done) for cell in missing if (cell.algo == "cot_sc") == last]
                run_jobs(jobs, workers, finished, board.show)
        except KeyboardInterrupt:
            journal.write("interrupted", finished=len(done))
            raise
    return all(cell.key in done for cell in cells)


def _job(folder: RunFolder, cell: CellSpec, done: dict[tuple[str, str, int], Any]) -> Job:
    path = folder.path / "cells" / cell.name.replace("/", "-").replace(":", "-")
    if cell.targets:
        arguments = (cell.config, cell.trained_on, cell.targets, cell.algo, cell.seed, path)
        return Job(cell.name, run_transfer_cell, arguments)
    tokens = _tokens_to_match(cell, done) if cell.algo == "cot_sc" else None
    return Job(cell.name, run_cell, (cell.config, cell.algo, cell.seed, path, tokens))


def _tokens_to_match(cell: CellSpec, done: dict[tuple[str, str, int], Any]) -> float | None:
    """Tokens per item of the workflow that CoT-SC is compared with: RLAO's, else the best found with this seed."""
    found = {
        algo: result["search"]
        for (variant, algo, seed), result in done.items()
        if (variant, seed) == (cell.variant, cell.seed) and algo in cell.config.algos and algo not in ("seed", "cot_sc")
    }
    if "rlao" in found:
        return found["rlao"]["tokens_per_item"]
    names = sorted(found)  # not the order in which they happened to finish
    return found[max(names, key=lambda name: found[name]["validation"])]["tokens_per_item"] if names else None


def _prepare_policy(config: CompareConfig) -> None:
    """Load the meta-agent once: a tiny one is built and cached before several processes ask for it."""
    from w4s_gym.algos import make_policy

    start = time.monotonic()
    name = config.policy
    console.print(f"Meta-agent {name}: loading (the tiny one is trained once, for a minute or two, and cached) ...")
    make_policy(name, **config.options_of_policy())
    console.print(f"Meta-agent {name}: ready after {time.monotonic() - start:.0f} s")


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description:<18}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[what]:<22}", markup=False),
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

    def end(self, name: str, error: str) -> None:
        """Take a cell that has ended off the board; `error` says why it has no result, if so."""
        if name in self._running:
            self._bars.remove_task(self._running.pop(name))
        self._done += not error
        self._bars.update(self._all, completed=self._done, what=f"{self._done} of {self._total}")
        self._bars.console.print(
            f"{name}: {f'FAILED, {error}' if error else 'finished'}", highlight=False, markup=False
        )
