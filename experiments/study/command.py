"""What all study commands share: new run, `--resume`, `--report`, `--plan`, and clear errors."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import tyro

from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.journal import RunFolder
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.cost import plan
from w4s_gym.study.runner import CellSpec, check, console, run_study

C = TypeVar("C", bound=CompareConfig)


def parse(kind: type[C], description: str | None, default: C | None = None) -> C:
    """Read the command line; `default` replaces the defaults of `kind`."""
    try:
        return tyro.cli(kind, description=description, default=default)
    except ConfigError as error:
        sys.exit(f"error: {error}")


def run_command(
    name: str,
    config: C,
    make_cells: Callable[[C], Sequence[CellSpec]],
    write_report: Callable[[RunFolder, C], None],
    announce: bool = False,
) -> int:
    """Run a study from its configuration.

    Args:
        name: first part of the names of its run folders.
        config: what the command line says.
        make_cells: the cells of a configuration.
        write_report: makes and prints tables of a run folder.
        announce: print the planned cost before anything is run, also without `--plan`.

    Returns:
        The exit code: 0 all cells finished, 1 some failed, 2 bad input, 130 interrupted.
    """
    folder: RunFolder | None = None
    signal.signal(signal.SIGTERM, _interrupt)  # ended from outside: the same as Ctrl-C
    try:
        if config.report is not None:
            write_report(RunFolder.open(config.report), config)
            return 0
        if config.resume:
            folder = RunFolder.open(config.run_dir or _latest_run(name, config))
            config = type(config).from_run(folder.config, config)
        cells = make_cells(config)
        facts = [check(c) for c in dict.fromkeys(c for cell in cells for c in cell.configs)]
        if config.plan or announce:
            console.print(plan(cells).text(), highlight=False)
            if config.max_dollars:
                console.print(f"limit: ${config.max_dollars:,.2f}; it is never passed")
            if config.plan:
                return 0
        if folder is None:
            simulated = any(fact["simulated"] for fact in facts)
            path = config.run_dir or _new_run_path(name, config)
            folder = RunFolder.create(path, config.measured, simulated=simulated, isolation=facts[0]["isolation"])
        console.print(f"Run folder: {folder.path}", highlight=False)
        complete = run_study(folder, cells, config.workers)
        if folder.records("cell"):
            write_report(folder, config)
        if not complete:
            console.print("some cells failed (see above); go on with --resume", style="red")
        return 0 if complete else 1
    except W4SError as error:
        console.print(f"error: {error}", style="red", highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        where = f"--resume --run-dir {folder.path}" if folder else "--resume"
        console.print(f"\nInterrupted. Finished cells are kept; go on with {where}", highlight=False, soft_wrap=True)
        return 130


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _new_run_path(name: str, config: CompareConfig) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    policy = config.policy.replace("/", "-").replace(":", "-")
    return Path("runs") / "__".join(part for part in (name, config.env, policy, stamp) if part)


def _latest_run(name: str, config: CompareConfig) -> Path:
    """Return the newest folder below `runs/` that was started with this configuration.

    Raises:
        ConfigError: there is none.
    """
    for path in sorted(Path("runs").glob(f"{name}__*/config.json"), key=os.path.getmtime, reverse=True):
        if RunFolder.open(path.parent).config == config.measured:
            return path.parent
    raise ConfigError("expected an earlier run of this configuration below runs/; pass its folder with --run-dir")
