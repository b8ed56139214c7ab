"""`w4s-gym show`: a run in the terminal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from w4s_gym.commands.finished import is_comparison
from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.jsonl import whole_lines
from w4s_gym.study.board import console
from w4s_gym.study.cells import comparison_cells
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.report import ComparisonReport
from w4s_gym.study.results import Results


@dataclass(frozen=True)
class Show:
    """Print the tables of a run, of what is finished so far; nothing is written."""

    folder: tyro.conf.Positional[Path]
    """Folder of a comparison, another study, or a training."""

    def run(self) -> int:
        """Read and print."""
        if (self.folder / "curve.jsonl").is_file() and not (self.folder / "config.json").exists():
            _show_training(self.folder / "curve.jsonl")
            return 0
        folder = RunFolder.open(self.folder)
        if is_comparison(folder):
            _show_comparison(folder)
        elif (self.folder / "table.md").is_file():
            console.print((self.folder / "table.md").read_text(encoding="utf-8"), highlight=False, soft_wrap=True)
        else:
            raise ConfigError(f"expected a run with a table; {self.folder} is of a study that has written none yet")
        return 0


def _show_comparison(folder: RunFolder) -> None:
    config = CompareConfig.of_run(folder.config)
    planned = len(comparison_cells(config))
    finished = len(folder.records("cell"))
    ComparisonReport(Results.of_run(folder)).show(console)
    console.print(f"{folder.path}: {finished} of {planned} cells are finished", highlight=False, soft_wrap=True)


def _show_training(path: Path) -> None:
    from w4s_gym.study.table import Table

    points = [json.loads(line) for _, line in whole_lines(path, unbroken=True)]
    mark = " (simulated)" if any(point.get("simulated") for point in points) else ""
    table = Table(
        f"Training in {path.parent}{mark}", ["iteration", "calls", "reward", "accuracy", "runnable", "best", "loss"]
    )
    for point in points:
        table.add(*(_figure(point.get(column)) for column in table.columns))
    table.show(console)


def _figure(value: float | int | None) -> str:
    return "" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
