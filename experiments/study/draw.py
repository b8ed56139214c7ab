"""Draws plots with matplotlib: PNG in run folders, PDF and SVG in exports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from w4s_gym.study.looks import MATPLOTLIB_MARKERS, line_style
from w4s_gym.study.plot_data import Line, Panel, Plot

_WIDTH, _HEIGHT = 5.5, 4.4
_MARKERS = 8
"""Markers of a long curve."""


def draw(plots: Sequence[Plot], folder: Path, kinds: Sequence[str] = ("png",)) -> list[Path]:
    """Write each plot in each format.

    Args:
        plots: what to draw.
        folder: where the files go.
        kinds: endings of files: `png`, `pdf`, `svg`.

    Returns:
        The files.
    """
    written = []
    # Texts stay texts in PDF and SVG, and the same run gives the same files.
    with matplotlib.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "w4s-gym"}):
        for plot in plots:
            figure = _figure(plot)
            for kind in kinds:
                path = folder / f"{plot.name}.{kind}"
                figure.savefig(path, dpi=120, metadata=_METADATA[kind])
                written.append(path)
            plt.close(figure)
    return written


_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}
"""No date in the file."""


def _figure(plot: Plot) -> plt.Figure:
    tall = max((0.28 * len(panel.categories) + 1.2 for panel in plot.panels if panel.upright), default=_HEIGHT)
    columns = plot.columns or len(plot.panels)
    rows = -(-len(plot.panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(_WIDTH * max(1.3, columns), tall * rows), layout="constrained", squeeze=False
    )
    for axis, panel in zip(axes.flat, plot.panels, strict=False):
        _draw_panel(axis, panel)
    for row in axes:
        labelled = next((axis for axis in row[::-1] if axis.get_legend_handles_labels()[0]), None)
        if labelled is not None:
            labelled.legend(fontsize="small")
    figure.suptitle(plot.title, fontsize="medium", wrap=True)
    return figure


def _draw_panel(axis: plt.Axes, panel: Panel) -> None:
    for line in panel.lines:
        _draw_line(axis, line, panel.upright)
    if panel.level is not None:
        (axis.axvline if panel.upright else axis.axhline)(
            panel.level, color="black", linestyle=":", linewidth=1, label=panel.level_label
        )
    axis.set_xlabel(panel.y_label if panel.upright else panel.x_label)
    axis.set_ylabel(panel.x_label if panel.upright else panel.y_label)
    if panel.categories and panel.upright:
        axis.set_yticks(range(len(panel.categories)), panel.categories)
        axis.invert_yaxis()
    elif panel.categories:
        axis.set_xticks(range(len(panel.categories)), panel.categories)
    elif panel.whole:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_title(panel.title, fontsize="small")
    axis.grid(alpha=0.3)


def _draw_line(axis: plt.Axes, line: Line, upright: bool) -> None:
    colour = line.look.colour
    style: dict[str, Any] = {
        "color": colour,
        "marker": MATPLOTLIB_MARKERS[line.look.marker],
        "label": line.label,
        "markersize": 5,
    }
    for x, y in line.thin:
        axis.plot(x, y, color=colour, alpha=0.25, linewidth=0.8)
    if line.steps:
        axis.step(line.x, line.y, where="post", color=colour, linewidth=1, linestyle="--", label=line.label)
        return
    if line.connected and len(line.x) > 1:
        every = max(1, len(line.x) // _MARKERS)
        axis.plot(line.x, line.y, linestyle=line_style(line.look), markevery=every, **style)
        if line.low is not None and line.high is not None:
            axis.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, linewidth=0)
        return
    error = None
    if line.low is not None and line.high is not None:
        below = [max(0.0, y - low) for y, low in zip(line.y, line.low, strict=True)]
        above = [max(0.0, high - y) for y, high in zip(line.y, line.high, strict=True)]
        error = [below, above]
    if upright:
        axis.errorbar(line.y, line.x, xerr=error, linestyle="none", capsize=2, **style)
    else:
        axis.errorbar(line.x, line.y, yerr=error, linestyle="none", capsize=2, **style)
