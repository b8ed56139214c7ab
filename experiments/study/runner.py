"""Runs the cells of a study: what is missing in the journal, in a few processes, with live progress.

A comparison has one variant of its cells; an ablation has one per setting. Finished cells are in the journal, so an
interrupted study goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from w4s_gym.benchmark import Item
from w4s_gym.errors import ConfigError
from w4s_gym.journal import Journal, RunFolder
from w4s_gym.registration import find_env
from w4s_gym.study.board import Board, console
from w4s_gym.study.cells import Cell, Key
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.environment import make_environment
from w4s_gym.study.jobs import Crew, Failure, Job, run_jobs
from w4s_gym.study.notices import Notice
from w4s_gym.study.processes import Processes
from w4s_gym.study.track import TrackerName, check_tracker
from w4s_gym.study.tracking import Tracking


@dataclass(frozen=True)
class Facts:
    """What is known about a study before it runs."""

    simulated: bool
    """Whether an executor is simulated."""
    isolation: str
    """Level of the sandbox."""
    data: dict[str, Any]
    """Environment -> number and hash of its items."""


def installed(cells: Sequence[Cell], output: Console = console) -> list[Cell]:
    """Return the cells whose designers are installed, and say which are skipped.

    Raises:
        ConfigError: none is left.
    """
    found = [cell for cell in cells if cell.designer.is_installed]
    lacking = {cell.designer.label: cell.designer.package for cell in cells if not cell.designer.is_installed}
    told = [
        f"{label} is skipped: it needs the package {package}; install it with `pip install 'w4s-gym[{package}]'` and "
        "go on with --resume"
        for label, package in lacking.items()
    ]
    if told and not found:
        raise ConfigError(f"expected at least one designer that is installed. {'. '.join(told)}")
    for sentence in told:
        output.print(sentence, style="yellow", highlight=False, soft_wrap=True)
    return found


def check(cells: Sequence[Cell]) -> Facts:
    """Try everything that can be wrong with the cells before anything is made or paid.

    Raises:
        W4SError: what is wrong and what to do.
    """
    configs = _distinct(config for cell in cells for config in cell.configs)
    for config in configs:
        find_env(config.env)
    for cell in cells:
        cell.check()
    for tracker in dict.fromkeys(config.tracked_by for config in configs):
        if tracker is not None:
            check_tracker(tracker)
    found = [_try(config) for config in configs]
    data = {name: value for facts in found for name, value in facts.data.items()}
    return Facts(any(facts.simulated for facts in found), found[0].isolation, data)


def _distinct(configs: Iterable[CompareConfig]) -> list[CompareConfig]:
    found: list[CompareConfig] = []
    for config in configs:
        if config not in found:
            found.append(config)
    return found


def _try(config: CompareConfig) -> Facts:
    env = make_environment(config, "compact", config.turns)
    try:
        split = env.split  # loads the data
        data = {"validation": _fingerprint(split.validation), "test": _fingerprint(split.test)}
        return Facts(env.executor.simulated, env.sandbox.report().level, {config.env: data})
    finally:
        env.close()


def _fingerprint(items: Sequence[Item]) -> dict[str, Any]:
    """Number of items, and a hash of their ids, questions, answers and tests in their order."""
    hashed = hashlib.sha256()
    for item in items:
        hashed.update(json.dumps([item.id, item.task, item.gold, item.hidden_tests]).encode())
    return {"items": len(items), "sha256": hashed.hexdigest()}


def create_folder(path: Path, config: CompareConfig, facts: Facts, study: str = "compare") -> RunFolder:
    """Make the run folder of a study.

    Raises:
        ConfigError: it cannot be written, or already holds something.
    """
    return RunFolder.create(
        path,
        config.measured,
        simulated=facts.simulated,
        isolation=facts.isolation,
        study=study,
        data=facts.data,
    )


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


def run_study(folder: RunFolder, cells: Sequence[Cell], config: CompareConfig, output: Console = console) -> bool:
    """Run the cells that are not in the journal yet.

    Args:
        folder: of the run.
        cells: all cells of the study.
        config: says where cells run, how many at once (with 0 all in this process), and what tracks them.
        output: where progress is shown.

    Returns:
        Whether all of them are finished now.

    Raises:
        ConfigError: another process is running in the folder, or there is no such cluster.
        KeyboardInterrupt: Ctrl-C; finished cells are in the journal.
    """
    done: dict[Key, dict[str, Any]] = {
        (r["variant"], r["algo"], r["seed"]): r["result"] for r in folder.records("cell")
    }
    rest = [cell for cell in cells if cell.key not in done]
    with folder.journal() as journal:
        with (
            Board(len(cells), len(cells) - len(rest), output, simulated=folder.simulated) as board,
            Tracking(folder, config.tracked_by) as tracking,
        ):
            try:
                # Those that are given the tokens of what the others found come last.
                for last in (False, True):
                    now = [cell for cell in rest if cell.designer.matches_tokens == last]
                    run = _Run(folder, now, done, journal, board, tracking)
                    run_jobs(run.jobs(), config.workers, run.finished, run.tells, partial(_crew, config))
            except KeyboardInterrupt:
                journal.write("interrupted", finished=len(done))
                raise
    if tracking.places:
        more = f" and {len(tracking.places) - 1} more" if len(tracking.places) > 1 else ""
        output.print(f"tracked by {config.tracked_by}: {tracking.places[0]}{more}", highlight=False, soft_wrap=True)
    return all(cell.key in done for cell in cells)


def _crew(config: CompareConfig) -> Crew:
    if not config.cluster:
        return Processes()
    from w4s_gym.study.on_ray import RayCrew

    return RayCrew(config.cluster_address, actors=config.actors, gpus=config.gpus)


@dataclass(frozen=True)
class _Run:
    """Cells that run together."""

    folder: RunFolder
    cells: list[Cell]
    done: dict[Key, dict[str, Any]]
    """Results of the study's finished cells; new ones are added."""
    journal: Journal
    board: Board
    tracking: Tracking

    def jobs(self) -> list[Job]:
        """What each cell has to do."""
        return [Job(cell.name, partial(cell.after(self.done).run, self.folder.path)) for cell in self.cells]

    def tells(self, name: str, notice: Notice) -> None:
        """Show what a cell is doing."""
        self.board.show(name, notice)
        if notice.point is not None:
            self.tracking.point(self._cell(name), notice.point)

    def finished(self, job: Job, outcome: dict[str, Any] | Failure) -> None:
        """Write down how a cell ended."""
        cell = self._cell(job.name)
        facts = {"variant": cell.variant, "algo": cell.algo, "seed": cell.seed}
        error = f"{outcome.kind}: {outcome.message}" if isinstance(outcome, Failure) else ""
        self.board.end(job.name, error)
        if isinstance(outcome, Failure):
            self.journal.write("failure", **facts, error=error, trace=outcome.trace)
            self.tracking.finished(cell, None)
        else:
            self.journal.write("cell", **facts, result=outcome)
            self.done[cell.key] = outcome
            self.tracking.finished(cell, outcome)

    def _cell(self, name: str) -> Cell:
        return next(cell for cell in self.cells if cell.name == name)


def track_again(folder: RunFolder, cells: Sequence[Cell], tracker: TrackerName) -> list[str]:
    """Track the finished cells of a run that was made without, or that a tracker has lost.

    Returns:
        Where they can be seen.

    Raises:
        ConfigError: the tracker cannot be used.
    """
    check_tracker(tracker)
    results = {(r["variant"], r["algo"], r["seed"]): r["result"] for r in folder.records("cell")}
    with Tracking(folder, tracker) as tracking:
        for cell in cells:
            if cell.key in results:
                tracking.again(cell, results[cell.key])
    return tracking.places


def prepare_policies(cells: Sequence[Cell], output: Console = console) -> None:
    """Load every meta-agent once: a tiny one is built and cached before several processes ask for it.

    Raises:
        ConfigError: one cannot be loaded.
    """
    from w4s_gym.algos import make_policy

    loaded: list[tuple[str, dict[str, Any]]] = []
    for config in (cell.with_policy for cell in cells if cell.designer.needs_policy):
        if (config.policy, config.policy_options) in loaded:
            continue
        loaded.append((config.policy, config.policy_options))
        start = time.monotonic()
        output.print(
            f"Meta-agent {config.policy}: loading (the tiny one is trained once, for a minute or two, and cached) ..."
        )
        make_policy(config.policy, **config.options_of_policy())
        output.print(f"Meta-agent {config.policy}: ready after {time.monotonic() - start:.0f} s")
