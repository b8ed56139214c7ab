"""Reading the run folder of a comparison, finished or still running."""

from __future__ import annotations

from pathlib import Path

from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.results import Results


def is_comparison(folder: RunFolder) -> bool:
    """Whether the run is a comparison, not another study."""
    return set(folder.config) <= set(CompareConfig().measured) and "algos" in folder.config


def read_comparison(path: Path) -> tuple[RunFolder, Results]:
    """Read the finished cells of a comparison.

    Raises:
        ConfigError: there is no run folder, it is of another study, or no cell is finished.
    """
    folder = RunFolder.open(path)
    if not is_comparison(folder):
        others = sorted(set(folder.config) - set(CompareConfig().measured))
        raise ConfigError(
            f"expected the run folder of a comparison; {path} is of another study, with {', '.join(others)}. "
            "Use the script in experiments/ that wrote it"
        )
    return folder, Results.of_run(folder)
