"""The page of a run inside a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from w4s_gym.journal import RunFolder
from w4s_gym.study.report import ComparisonReport
from w4s_gym.study.results import Results
from w4s_gym.study.view import view_page


@dataclass(frozen=True)
class InlinePage:
    """A page that a notebook shows in a frame, where its scripts reach nothing of the notebook."""

    html: str
    height: int
    """Of the frame, in pixels."""

    def _repr_html_(self) -> str:
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{escape(self.html)}" '
            f'style="width: 100%; height: {self.height}px; border: 0"></iframe>'
        )


def show(folder: Path | str, height: int = 800) -> InlinePage:
    """Show a comparison in a notebook: curves, tables, every workflow and every text.

    Args:
        folder: run folder, finished or not.
        height: of the frame, in pixels.

    Raises:
        ConfigError: there is no run folder, or no cell is finished.
    """
    run = RunFolder.open(folder)
    results = Results.of_run(run)
    return InlinePage(view_page(results, ComparisonReport(results).tables, run.path), height)
