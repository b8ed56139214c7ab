"""`figures.json` of a run folder: the numbers of all tables and plots of a study, from which they can be made again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from w4s_gym.command_line import missing_extra
from w4s_gym.errors import ConfigError
from w4s_gym.study.board import console
from w4s_gym.study.plot_data import Plot
from w4s_gym.study.table import Table

NAME = "figures.json"


@dataclass(frozen=True)
class Figures:
    """What a study shows."""

    simulated: bool
    tables: Sequence[Table]
    plots: Sequence[Plot]

    def write(self, folder: Path) -> None:
        """Write them to a folder."""
        data = {
            "simulated": self.simulated,
            "tables": [table.data() for table in self.tables],
            "plots": [plot.data() for plot in self.plots],
        }
        (folder / NAME).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def draw(self, folder: Path, kinds: Sequence[str] = ("png",)) -> list[Path]:
        """Draw the plots; where nothing can draw them, say so, and the tables stand without them."""
        try:
            from w4s_gym.study.draw import draw
        except ModuleNotFoundError as error:
            lacking = missing_extra(error)
            if lacking is None:
                raise
            console.print(f"no plots: {lacking}", highlight=False, soft_wrap=True)
            return []
        return draw(self.plots, folder, kinds)


def read_figures(folder: Path) -> Figures:
    """Read the figures of a run folder.

    Raises:
        ConfigError: there are none, or they are of an earlier version.
    """
    path = folder / NAME
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        plots = [Plot.of_data(plot) for plot in data["plots"]]
        return Figures(data["simulated"], [Table.of_data(table) for table in data["tables"]], plots)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"expected the figures of a study in {path}; write them with --report of the script that made the run "
            f"({type(error).__name__}: {error})"
        ) from error
