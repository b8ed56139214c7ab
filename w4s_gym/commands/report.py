"""`w4s-gym report`: tables and plots of a comparison again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from w4s_gym.commands.compare import COMPARE
from w4s_gym.commands.finished import open_comparison
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.track import TrackerName


@dataclass(frozen=True)
class Report:
    """Write the tables, plots and the best workflow of a comparison again; nothing is run."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""
    track: bool = False
    """Track the finished designers and seeds, in the runs that they had if they were tracked before."""
    tracker: TrackerName = "wandb"
    """With `--track`: `wandb` (offline when there is no key) or `trackio`."""

    def run(self) -> int:
        """Write and print."""
        COMPARE.report(open_comparison(self.folder), CompareConfig(track=self.track, tracker=self.tracker))
        return 0
