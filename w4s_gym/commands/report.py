"""`w4s-gym report`: tables and plots of a comparison again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from w4s_gym.commands.finished import read_comparison
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.report import write_report


@dataclass(frozen=True)
class Report:
    """Write the tables, plots and the best workflow of a comparison again; nothing is run."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""
    track: bool = False
    """Log to Weights & Biases (offline when there is no key)."""

    def run(self) -> int:
        """Write and print."""
        folder, _ = read_comparison(self.folder)
        write_report(folder, CompareConfig(track=self.track))
        return 0
