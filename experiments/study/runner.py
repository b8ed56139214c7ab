"""Runs the cells of a study: what is missing in the journal, in a few processes, with live progress.

A comparison has one variant of its cells; an ablation has one per setting. Finished cells are in the journal, so an
interrupted study goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from w4s_gym.journal import Journal, RunFolder
from w4s_gym.registration import find_env
from w4s_gym.study.board import Board, console
from w4s_gym.study.cells import Cell, Key
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.environment import make_environment
from w4s_gym.study.jobs import Failure, Job, run_jobs


@dataclass(frozen=True)
class Facts:
    """What is known about a study before it runs."""

    simulated: bool
    """Whether an executor is simulated."""
    isolation: str
    """Level of the sandbox."""


def check(cells: Sequence[Cell]) -> Facts:
    """Try everything that can be wrong with the cells before anything is paid.

    Raises:
        W4SError: what is wrong and what to do.
    """
    configs = _distinct(config for cell in cells for config in cell.configs)
    for config in configs:
        find_env(config.env)
    for cell in cells:
        cell.check()
    found = [_try(config) for config in configs]
    return Facts(any(facts.simulated for facts in found), found[0].isolation)


def _distinct(configs: Iterable[CompareConfig]) -> list[CompareConfig]:
    found: list[CompareConfig] = []
    for config in configs:
        if config not in found:
            found.append(config)
    return found


def _try(config: CompareConfig) -> Facts:
    env = make_environment(config, "compact", config.turns)
    try:
        env.split  # noqa: B018  (loads the data)
        return Facts(env.executor.simulated, env.sandbox.report().level)
    finally:
        env.close()


def create_folder(path: Path, config: CompareConfig, facts: Facts) -> RunFolder:
    """Make the run folder of a study.

    Raises:
        ConfigError: it cannot be written, or already holds something.
    """
    return RunFolder.create(path, config.measured, simulated=facts.simulated, isolation=facts.isolation)


def extend_folder(folder: RunFolder, config: CompareConfig) -> None:
    """Write down that a run goes on with more seeds, designers or dollars.

    Raises:
        ConfigError: another process is running in the folder.
    """
    if type(config).of_run(folder.config).measured != config.measured:
        folder.extend(config.measured)


def missing(folder: RunFolder, cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that are not in the journal."""
    done = {(r["variant"], r["algo"], r["seed"]) for r in folder.records("cell")}
    return [cell for cell in cells if cell.key not in done]


def run_study(folder: RunFolder, cells: Sequence[Cell], workers: int, output: Console = console) -> bool:
    """Run the cells that are not in the journal yet.

    Args:
        folder: of the run.
        cells: all cells of the study.
        workers: processes that share the work; 0 runs everything in this one.
        output: where progress is shown.

    Returns:
        Whether all of them are finished now.

    Raises:
        ConfigError: another process is running in the folder.
        KeyboardInterrupt: Ctrl-C; finished cells are in the journal.
    """
    done: dict[Key, dict[str, Any]] = {
        (r["variant"], r["algo"], r["seed"]): r["result"] for r in folder.records("cell")
    }
    rest = [cell for cell in cells if cell.key not in done]
    with folder.journal() as journal:
        _prepare_policies(rest, output)
        with Board(len(cells), len(cells) - len(rest), output) as board:
            try:
                # Those that are given the tokens of what the others found come last.
                for last in (False, True):
                    run = _Run(folder, [cell for cell in rest if cell.designer.matches_tokens == last], done, journal)
                    run_jobs(run.jobs(), workers, partial(run.finished, board), board.show)
            except KeyboardInterrupt:
                journal.write("interrupted", finished=len(done))
                raise
    return all(cell.key in done for cell in cells)


@dataclass(frozen=True)
class _Run:
    """Cells that run together."""

    folder: RunFolder
    cells: list[Cell]
    done: dict[Key, dict[str, Any]]
    """Results of the study's finished cells; new ones are added."""
    journal: Journal

    def jobs(self) -> list[Job]:
        """What each cell has to do."""
        return [Job(cell.name, partial(cell.after(self.done).run, self.folder.path)) for cell in self.cells]

    def finished(self, board: Board, job: Job, outcome: dict[str, Any] | Failure) -> None:
        """Write down how a cell ended."""
        cell = next(cell for cell in self.cells if cell.name == job.name)
        facts = {"variant": cell.variant, "algo": cell.algo, "seed": cell.seed}
        error = f"{outcome.kind}: {outcome.message}" if isinstance(outcome, Failure) else ""
        board.end(job.name, error)
        if isinstance(outcome, Failure):
            self.journal.write("failure", **facts, error=error, trace=outcome.trace)
        else:
            self.journal.write("cell", **facts, result=outcome)
            self.done[cell.key] = outcome


def _prepare_policies(cells: Sequence[Cell], output: Console) -> None:
    """Load every meta-agent once: a tiny one is built and cached before several processes ask for it."""
    from w4s_gym.algos import make_policy

    loaded: list[tuple[str, dict[str, Any]]] = []
    for config in (cell.config for cell in cells if cell.designer.needs_policy):
        if (config.policy, config.policy_options) in loaded:
            continue
        loaded.append((config.policy, config.policy_options))
        start = time.monotonic()
        output.print(
            f"Meta-agent {config.policy}: loading (the tiny one is trained once, for a minute or two, and cached) ..."
        )
        make_policy(config.policy, **config.options_of_policy())
        output.print(f"Meta-agent {config.policy}: ready after {time.monotonic() - start:.0f} s")
