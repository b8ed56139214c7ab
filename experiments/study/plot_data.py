"""Plots as numbers: what a picture shows, kept in `figures.json` and drawn by `draw.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from w4s_gym.study.designers import find_designer
from w4s_gym.study.looks import Look, look_of_name
from w4s_gym.study.table import Number, Table


@dataclass(frozen=True)
class Line:
    """One curve, or some points that are not connected."""

    label: str
    look: Look
    x: list[float]
    y: list[float]
    low: list[float] | None = None
    """Ends of the 95% intervals of y, where there are some."""
    high: list[float] | None = None
    connected: bool = True
    steps: bool = False
    """It is a stair: what is reached with at most so much of x."""
    thin: list[tuple[list[float], list[float]]] = field(default_factory=list)
    """Curves (x, y) that it is the mean of, drawn thin: one for each seed."""


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    x_label: str
    y_label: str
    lines: list[Line]
    title: str = ""
    categories: list[str] = field(default_factory=list)
    """Names of x = 0, 1, ..., where x is no number."""
    level: float | None = None
    """Height of a line across."""
    level_label: str = "best seed workflow"
    whole: bool = False
    """Ticks at whole numbers of x only."""
    upright: bool = False
    """Categories go down the side: there are many, or their names are long."""


@dataclass(frozen=True)
class Plot:
    """A picture."""

    name: str
    """Of its file, without the ending."""
    title: str
    panels: list[Panel]
    columns: int = 0
    """Panels in a row; 0: all of them."""

    def data(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Self:
        """Read what `data` returned."""
        panels = [
            Panel(**{**panel, "lines": [Line(**{**line, "look": Look(**line["look"])}) for line in panel["lines"]]})
            for panel in data["panels"]
        ]
        return cls(data["name"], data["title"], panels, data["columns"])


def dots(label: str, look: Look, x: Sequence[float], numbers: Sequence[str | Number]) -> Line:
    """Return points that are not connected, of figures of a table; those that the table does not have are left out.

    Args:
        label: for the legend.
        look: colour and marker.
        x: where they stand.
        numbers: cells of a table.
    """
    found = [(place, n) for place, n in zip(x, numbers, strict=True) if isinstance(n, Number) and n.value is not None]
    places, values = [float(place) for place, _ in found], [float(n.value or 0.0) for _, n in found]
    if any(n.low is None for _, n in found):
        return Line(label, look, places, values, connected=False)
    low, high = [float(n.low or 0.0) for _, n in found], [float(n.high or 0.0) for _, n in found]
    return Line(label, look, places, values, low, high, connected=False)


def designer_dots(table: Table, algos: Sequence[str]) -> list[Line]:
    """Return one set of points for each row of a table, side by side over its columns.

    Args:
        table: its first column names designers, as in tables; the others hold figures.
        algos: the designers that may stand in it.
    """
    names = {label: (algo, number) for number, algo in enumerate(algos) for label in _labels(algo)}
    lines = []
    for position, cells in enumerate(table.cells):
        label = table.rows[position][0]
        shift = 0.12 * (position - (len(table.cells) - 1) / 2)
        places = [place + shift for place in range(len(cells) - 1)]
        lines.append(dots(label, look_of_name(*names[label]), places, cells[1:]))
    return lines


def _labels(algo: str) -> set[str]:
    designer = find_designer(algo)
    return {designer.label, designer.published_label or designer.label}
