"""`w4s-gym view`: one HTML page of a comparison."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from w4s_gym.commands.finished import read_comparison
from w4s_gym.study.report import ComparisonReport
from w4s_gym.study.view import write_view


@dataclass(frozen=True)
class View:
    """Write one HTML page of a comparison, which needs neither a server nor the network."""

    folder: tyro.conf.Positional[Path]
    """Run folder."""

    def run(self) -> int:
        """Write the page and say where it is."""
        folder, results = read_comparison(self.folder)
        print(f"wrote {write_view(results, ComparisonReport(results).tables, folder.path)}")
        return 0
