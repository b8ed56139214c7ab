"""Reading the run folder of a comparison, finished or still running."""

from __future__ import annotations

from pathlib import Path

from w4s_gym.journal import RunFolder
from w4s_gym.study.kinds import COMPARISONS, expect_study, study_of
from w4s_gym.study.results import Results


def is_comparison(folder: RunFolder) -> bool:
    """Whether the run is a comparison, not another study."""
    return study_of(folder) in COMPARISONS


def open_comparison(path: Path) -> RunFolder:
    """Open the run folder of a comparison.

    Raises:
        ConfigError: there is no run folder, or it is of another study.
    """
    folder = RunFolder.open(path)
    expect_study(folder, *COMPARISONS)
    return folder


def read_comparison(path: Path) -> tuple[RunFolder, Results]:
    """Read the finished cells of a comparison.

    Raises:
        ConfigError: there is no run folder, it is of another study, or no cell is finished.
    """
    folder = open_comparison(path)
    return folder, Results.of_run(folder)
