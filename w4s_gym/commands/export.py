"""`w4s-gym export`: a run for a paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from w4s_gym.commands.finished import is_comparison
from w4s_gym.journal import RunFolder
from w4s_gym.study.export import Format, export_run
from w4s_gym.study.figures_file import read_figures
from w4s_gym.study.report import ComparisonReport
from w4s_gym.study.results import Results


@dataclass(frozen=True)
class Export:
    """Write what a paper needs of a run: data in long form, tables in LaTeX (booktabs), plots in PDF and SVG."""

    folder: tyro.conf.Positional[Path]
    """Run folder, of a comparison or another study."""
    out: Path | None = None
    """Folder to write to; by default `export/` in the run folder."""
    format: Format = "csv"
    """Format of the data: `csv` or `parquet`."""

    def run(self) -> int:
        """Write and say what was written."""
        folder = RunFolder.open(self.folder)
        if is_comparison(folder):
            figures = ComparisonReport(Results.of_run(folder)).figures
        else:
            figures = read_figures(folder.path)
        for path in export_run(folder, figures, self.out or folder.path / "export", self.format):
            print(f"wrote {path}")
        return 0
