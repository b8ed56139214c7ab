"""Plots of a comparison, made from the journal alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import MaxNLocator

from w4s_gym.study.front import Front, Point, pareto_front
from w4s_gym.study.looks import MATPLOTLIB_MARKERS, Look, line_style, look_of
from w4s_gym.study.results import Results
from w4s_gym.study.stats import HierarchicalBootstrap

_WIDTH, _HEIGHT = 11.0, 4.4


def write_plots(results: Results, folder: Path) -> list[Path]:
    """Write `learning_curves.png`, `front.png` and, if there are meta-agents, `design_curve.png`."""
    looks = {results.label(algo): look_of(results, algo) for algo in results.algos}
    written = [
        _learning_curves(results, folder / "learning_curves.png"),
        write_fronts([Front.of_results(results)], folder, looks),
    ]
    if results.meta_agents:
        written.append(_design_curve(results, folder / "design_curve.png"))
    return written


def _axis_label(results: Results, text: str) -> str:
    return f"{text} (simulated)" if results.simulated else text


def _title(results: Results, text: str) -> str:
    config = results.config
    mark = " (simulated)" if results.simulated else ""
    return f"{text}{mark}: {config.env}, {config.executor_name}, meta-agent {config.policy}"


def _learning_curves(results: Results, path: Path) -> Path:
    """Draw accuracy of the proposals, and best accuracy so far, over executor calls."""
    figure, axes = plt.subplots(1, 2, figsize=(_WIDTH, _HEIGHT), layout="constrained")
    panels = (("accuracy", "Validation accuracy of the proposals, %"), ("best", "Best validation accuracy so far, %"))
    for axis, (key, label) in zip(axes, panels, strict=True):
        for algo in results.algos:
            curves = [
                [(point["calls"], 100 * point[key]) for point in cell.result["curve"] if key in point]
                for cell in results.of(algo)
            ]
            curves = [curve for curve in curves if curve]
            if not curves:
                continue
            look = look_of(results, algo)
            style = {"color": look.colour, "marker": MATPLOTLIB_MARKERS[look.marker], "linestyle": line_style(look)}
            for curve in curves:
                axis.plot(*zip(*curve, strict=True), color=look.colour, alpha=0.25, linewidth=0.8)
            # Means exist where all seeds have a point; a designer of one iteration is one marker.
            calls = np.linspace(max(c[0][0] for c in curves), min(c[-1][0] for c in curves), 60)
            if calls[0] >= calls[-1]:
                calls = np.array([np.mean([c[-1][0] for c in curves])])
            mean = np.mean([np.interp(calls, *np.transpose(curve)) for curve in curves], axis=0)
            axis.plot(calls, mean, label=results.label(algo), markevery=[-1], **style)
        axis.set_xlabel(_axis_label(results, "Executor calls"))
        axis.set_ylabel(_axis_label(results, label))
        axis.grid(alpha=0.3)
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(fontsize="small")
    figure.suptitle(_title(results, "Learning curves"), fontsize="medium")
    return _save(figure, path)


def _design_curve(results: Results, path: Path) -> Path:
    """Draw test accuracy over the size of the design budget: over turns, and over candidates of one turn."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(_WIDTH, _HEIGHT), sharey=True, layout="constrained")
    boot = HierarchicalBootstrap(results.items)
    longest = max(results.config.design_turns, results.config.curve_turns)
    turns = list(range(1, longest + 1))
    for algo in results.meta_agents:
        look = look_of(results, algo)
        colour, marker = look.colour, MATPLOTLIB_MARKERS[look.marker]
        points = [boot.mean(results.design_scores(algo, t), results.stream(algo)) for t in turns]
        left.plot(
            turns,
            [100 * p.value for p in points],
            marker=marker,
            color=colour,
            linestyle=line_style(look),
            label=results.label(algo),
        )
        left.fill_between(
            turns, [100 * p.low for p in points], [100 * p.high for p in points], color=colour, alpha=0.15
        )
        most = min(len([1 for c, _ in results.single_proposals(algo) if c is cell]) for cell in results.of(algo))
        counts = list(range(1, most + 1))
        by_seed = [results.best_of_candidates(algo, count) for count in counts]
        right.plot(
            counts,
            [100 * np.mean(values) for values in by_seed],
            marker=marker,
            color=colour,
            linestyle=line_style(look),
        )
        for seed in range(len(by_seed[0])):
            right.plot(counts, [100 * values[seed] for values in by_seed], color=colour, alpha=0.25, linewidth=0.8)
    if results.reference:
        level = 100 * float(np.nanmean(results.search_scores(results.reference)))
        for axis in (left, right):
            axis.axhline(level, color="black", linestyle=":", linewidth=1, label="best seed workflow")
    left.set_xlabel(f"Turns, {results.config.design_candidates} candidate(s) a turn")
    right.set_xlabel("Candidates of one turn (validation selects)")
    left.set_ylabel(_axis_label(results, "Test accuracy, %"))
    left.set_xticks(turns)
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(fontsize="small")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.suptitle(_title(results, "Test accuracy over the design budget"), fontsize="medium")
    return _save(figure, path)


def write_fronts(fronts: Sequence[Front], folder: Path, looks: Mapping[str, Look] | None = None) -> Path:
    """Write `front.png`: for each benchmark accuracy over tokens an item, on validation and on the test items.

    Args:
        fronts: the workflows of each benchmark.
        folder: gets the plot.
        looks: label -> look; labels without one take colours in turn.
    """
    figure, axes = plt.subplots(
        len(fronts), 2, figsize=(_WIDTH, _HEIGHT * len(fronts)), layout="constrained", squeeze=False
    )
    for front, row in zip(fronts, axes, strict=True):
        mark = " (simulated)" if front.simulated else ""
        labels = dict.fromkeys(label for point in (*front.tested, *front.searched) for label in point.designers)
        colours = {label: (looks or {}).get(label, Look(f"C{i % 10}", "circle", "")) for i, label in enumerate(labels)}
        panels = (("Validation", "measured while searching", front.searched), ("Test", "tested", front.tested))
        for axis, (split, which, points) in zip(row, panels, strict=True):
            _scatter(axis, points, colours)
            axis.set_xlabel(f"Executor tokens an item{mark}")
            axis.set_ylabel(f"{split} accuracy, %{mark}")
            axis.set_title(f"{front.name}: {len(points)} workflows {which}", fontsize="small")
            axis.grid(alpha=0.3)
        if row[1].get_legend_handles_labels()[0]:
            row[1].legend(fontsize="small")
    mark = " (simulated)" if any(front.simulated for front in fronts) else ""
    figure.suptitle(f"Accuracy and tokens of every workflow, with the Pareto fronts{mark}", fontsize="medium")
    return _save(figure, folder / "front.png")


def _scatter(axis: plt.Axes, points: Sequence[Point], looks: Mapping[str, Look]) -> None:
    """Draw workflows by who found them first, and the front as steps: what is reached with at most so many tokens."""
    for label, look in looks.items():
        own = [point for point in points if point.designers[0] == label]
        if own:
            axis.scatter(
                [point.tokens for point in own],
                [100 * point.accuracy for point in own],
                s=18,
                alpha=0.6,
                color=look.colour,
                marker=MATPLOTLIB_MARKERS[look.marker],
                label=label,
            )
    best = pareto_front(points)
    axis.step(
        [point.tokens for point in best],
        [100 * point.accuracy for point in best],
        where="post",
        color="black",
        linewidth=1,
        linestyle="--",
        label="Pareto front",
    )


def _save(figure: plt.Figure, path: Path) -> Path:
    # No date in the file: the same run gives the same picture.
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)
    return path
