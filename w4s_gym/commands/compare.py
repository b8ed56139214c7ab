"""`w4s-gym compare`: designers of workflows under the same budget of executor calls."""

from __future__ import annotations

from dataclasses import dataclass

from w4s_gym.study.cells import comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.report import write_report

COMPARE = Study("compare", comparison_cells, write_report)
"""The comparison, as a command."""


@dataclass(frozen=True)
class Compare(CompareConfig):
    """Train and compare designers under the same budget of executor calls; see docs/comparison.md."""

    def run(self) -> int:
        """Run, resume, report or plan, as the options say."""
        return COMPARE.run(self.plain())
