"""What all study commands share: new run, `--resume`, `--report`, `--plan`, and clear errors."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.journal import RunFolder
from w4s_gym.study.board import console
from w4s_gym.study.cells import Cell
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.cost import check_cap, plan
from w4s_gym.study.kinds import COMPARISONS, expect_study
from w4s_gym.study.resuming import resumed
from w4s_gym.study.runner import (
    check,
    create_folder,
    extend_folder,
    installed,
    missing,
    prepare_policies,
    run_study,
    track_again,
)

C = TypeVar("C", bound=CompareConfig)


@dataclass(frozen=True)
class Study(Generic[C]):
    """A study as a command."""

    name: str
    """First part of the names of its run folders."""
    cells: Callable[[C], Sequence[Cell]]
    """The cells of a configuration."""
    write_report: Callable[[RunFolder, C], None]
    """Makes and prints the tables of a run folder."""
    announce: bool = False
    """Print the planned cost before anything is run, also without `--plan`."""

    def run(self, config: C) -> int:
        """Run, resume, report or plan, as the configuration says.

        Returns:
            The exit code: 0 all cells finished, 1 some failed, 2 bad input, 130 interrupted.
        """
        where = "--resume"
        signal.signal(signal.SIGTERM, _interrupt)  # ended from outside: the same as Ctrl-C
        try:
            if config.report is not None:
                self.report(self._open(config.report), config)
                return 0
            folder: RunFolder | None = None
            if config.resume:
                folder = self._open(config.run_dir or self._latest_run(config))
                config = resumed(folder.config, config)
            cells = installed(self.cells(config))
            facts = check(cells)
            rest = missing(folder, cells) if folder else cells
            if config.plan or self.announce or config.max_dollars:
                self._plan(config, rest, len(cells))
            if config.plan:
                return 0
            if folder is None:
                path = config.run_dir or self._new_path(config)
                RunFolder.expect_new(path)
            prepare_policies(rest)
            folder = folder or create_folder(path, config, facts, self.name)
            where = f"--resume --run-dir {folder.path}"
            extend_folder(folder, config)
            console.print(f"Run folder: {folder.path}", highlight=False)
            complete = run_study(folder, cells, config)
            if folder.records("cell"):
                self.write_report(folder, config)
            if not complete:
                console.print("some cells failed (see above); go on with --resume", style="red")
            return 0 if complete else 1
        except W4SError as error:
            console.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
            return 2
        except KeyboardInterrupt:
            told = f"\nInterrupted. Finished cells are kept; go on with {where}"
            console.print(told, highlight=False, soft_wrap=True)
            return 130

    def _plan(self, config: C, cells: Sequence[Cell], shares: int) -> None:
        """Say what the cells will cost, where that is wanted, and refuse a cap that is too low for them.

        Raises:
            ConfigError: it is.
        """
        if not cells:
            console.print("nothing is left to be run")
            return
        found = plan(cells, shares)
        if config.plan or self.announce:
            console.print(found.text(), highlight=False, soft_wrap=True)
            if config.max_dollars:
                console.print(f"limit: ${config.max_dollars:,.2f}; it is never passed")
        if config.max_dollars and not config.plan:
            check_cap(found, config.max_dollars, shares)

    def _open(self, path: Path) -> RunFolder:
        """Open a run folder of this study; every comparison reads those of the others."""
        folder = RunFolder.open(path)
        expect_study(folder, self.name, *(COMPARISONS if self.name in COMPARISONS else ()))
        return folder

    def report(self, folder: RunFolder, config: C) -> None:
        """Make the tables and plots of a run again, and track it if the configuration says so."""
        self.write_report(folder, config)
        if config.track:
            for place in track_again(folder, self.cells(type(config).of_run(folder.config)), config.tracker):
                console.print(f"tracked: {place}", highlight=False, soft_wrap=True)

    def _new_path(self, config: C) -> Path:
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
        policy = config.policy.replace("/", "-").replace(":", "-")
        return Path("runs") / "__".join(part for part in (self.name, config.env, policy, stamp) if part)

    def _latest_run(self, config: C) -> Path:
        """Return the newest folder below `runs/` that can go on with the options that are given.

        Raises:
            ConfigError: there is none.
        """
        refused: ConfigError | None = None
        for path in sorted(Path("runs").glob(f"{self.name}__*/config.json"), key=os.path.getmtime, reverse=True):
            try:
                resumed(self._open(path.parent).config, config)
            except ConfigError as error:
                refused = refused or error
            else:
                return path.parent
        why = f" (the latest: {refused})" if refused else ""
        raise ConfigError(f"expected an earlier run of these options below runs/{why}; pass its folder with --run-dir")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt
