"""The plots of a comparison as numbers, made from the journal alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from w4s_gym.study.front import Front, Point, pareto_front
from w4s_gym.study.looks import Look, look_of, look_of_name
from w4s_gym.study.plot_data import Line, Panel, Plot
from w4s_gym.study.results import Results
from w4s_gym.study.stats import REPLICATES, HierarchicalBootstrap


def comparison_plots(results: Results) -> list[Plot]:
    """Return learning curves, the Pareto front and, if there are meta-agents, the curves over the design budget."""
    looks = {results.label(algo): look_of(results, algo) for algo in results.algos}
    plots = [_learning_curves(results), front_plot([Front.of_results(results)], looks)]
    if results.meta_agents:
        plots.append(_design_curve(results))
    return plots


def _title(results: Results, text: str) -> str:
    config = results.config
    return f"{text}{results.mark}: {config.env}, {config.executor_name}, meta-agent {config.policy}"


def _learning_curves(results: Results) -> Plot:
    """Accuracy of the proposals, and best accuracy so far, over executor calls."""
    panels = []
    for key, label in (("accuracy", "Validation accuracy of the proposals, %"), ("best", "Best validation so far, %")):
        lines = [line for algo in results.algos if (line := _learning_curve(results, algo, key)) is not None]
        panels.append(Panel(f"Executor calls{results.mark}", f"{label}{results.mark}", lines))
    title = _title(results, "Learning curves; mean over seeds, 95% by bootstrap over seeds")
    return Plot("learning_curves", title, panels)


def _learning_curve(results: Results, algo: str, key: str) -> Line | None:
    curves = [
        [(float(point["calls"]), 100.0 * point[key]) for point in cell.result["curve"] if key in point]
        for cell in results.of(algo)
    ]
    curves = [curve for curve in curves if curve]
    if not curves:
        return None
    # Means exist where all seeds have a point; a designer of one iteration is one point.
    calls = np.linspace(max(c[0][0] for c in curves), min(c[-1][0] for c in curves), 60)
    if calls[0] >= calls[-1]:
        calls = np.array([np.mean([c[-1][0] for c in curves])])
    by_seed = np.array([np.interp(calls, *np.transpose(curve)) for curve in curves])
    low, high = _over_seeds(by_seed)
    thin = [([x for x, _ in curve], [y for _, y in curve]) for curve in curves]
    return Line(
        results.label(algo), look_of(results, algo), calls.tolist(), by_seed.mean(axis=0).tolist(), low, high, thin=thin
    )


def _over_seeds(by_seed: np.ndarray) -> tuple[list[float] | None, list[float] | None]:
    """Return the ends of 95% intervals of the mean; by_seed has the shape (seeds, points). One seed has none."""
    seeds = len(by_seed)
    if seeds < 2:
        return None, None
    drawn = np.random.default_rng(0).integers(seeds, size=(REPLICATES, seeds))
    low, high = np.quantile(by_seed[drawn].mean(axis=1), [0.025, 0.975], axis=0)
    return low.tolist(), high.tolist()


def _design_curve(results: Results) -> Plot:
    """Test accuracy over the size of the design budget: over turns, and over candidates of one turn."""
    boot = HierarchicalBootstrap(results.items)
    turns = list(range(1, max(results.config.design_turns, results.config.curve_turns) + 1))
    by_turns, by_candidates = [], []
    for algo in results.meta_agents:
        label, look = results.label(algo), look_of(results, algo)
        found = [boot.mean(results.design_scores(algo, turn), results.stream(algo)) for turn in turns]
        values, low, high = ([100 * getattr(e, name) for e in found] for name in ("value", "low", "high"))
        by_turns.append(Line(label, look, [float(turn) for turn in turns], values, low, high))
        most = min(len([1 for c, _ in results.single_proposals(algo) if c is cell]) for cell in results.of(algo))
        counts = list(range(1, most + 1))
        if not counts:
            continue
        # Shape (seeds, counts).
        seeds = 100 * np.array([results.best_of_candidates(algo, count) for count in counts]).T
        x = [float(count) for count in counts]
        ends = _over_seeds(seeds)
        thin = [(x, seed.tolist()) for seed in seeds]
        by_candidates.append(Line(label, look, x, seeds.mean(axis=0).tolist(), *ends, thin=thin))
    level = 100 * float(np.nanmean(results.search_scores(results.reference))) if results.reference else None
    y_label = f"Test accuracy, %{results.mark}"
    one = f"Turns, {results.config.design_candidates} candidate(s) a turn"
    other = "Candidates of one turn (validation selects)"
    panels = [
        Panel(one, y_label, by_turns, level=level, whole=True),
        Panel(other, y_label, by_candidates, level=level, whole=True),
    ]
    return Plot("design_curve", _title(results, "Test accuracy over the design budget"), panels)


def front_plot(fronts: Sequence[Front], looks: Mapping[str, Look] | None = None) -> Plot:
    """Return, for each benchmark, accuracy over tokens an item, on validation and on the test items.

    Args:
        fronts: the workflows of each benchmark.
        looks: label -> look; labels without one get looks in turn.
    """
    panels = []
    for front in fronts:
        mark = " (simulated)" if front.simulated else ""
        labels = dict.fromkeys(label for point in (*front.tested, *front.searched) for label in point.designers)
        known = {label: (looks or {}).get(label) or look_of_name("", i) for i, label in enumerate(labels)}
        for split, which, found in (("Validation", "measured while searching", front.searched),
                                    ("Test", "tested", front.tested)):  # fmt: skip
            panels.append(
                Panel(
                    f"Executor tokens an item{mark}",
                    f"{split} accuracy, %{mark}",
                    _workflows(found, known),
                    title=f"{front.name}: {len(found)} workflows {which}",
                )
            )
    mark = " (simulated)" if any(front.simulated for front in fronts) else ""
    return Plot("front", f"Accuracy and tokens of every workflow, with the Pareto fronts{mark}", panels, columns=2)


def _workflows(found: Sequence[Point], looks: Mapping[str, Look]) -> list[Line]:
    """Workflows by who found them first, and the front as steps: what is reached with at most so many tokens."""
    lines = []
    for label, look in looks.items():
        own = [point for point in found if point.designers[0] == label]
        if own:
            x, y = [point.tokens for point in own], [100 * point.accuracy for point in own]
            lines.append(Line(label, look, x, y, connected=False))
    best = pareto_front(found)
    x, y = [point.tokens for point in best], [100 * point.accuracy for point in best]
    return [*lines, Line("Pareto front", Look("#000000", "circle", "6 3"), x, y, steps=True)]
