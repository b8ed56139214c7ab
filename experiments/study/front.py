"""Accuracy against executor tokens an item: every workflow of a run as a point, and the Pareto front among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np

from w4s_gym.study.formats import percent_interval, plain
from w4s_gym.study.results import CellResult, Results
from w4s_gym.study.stats import wilson
from w4s_gym.study.table import Table


@dataclass(frozen=True)
class Point:
    """A workflow."""

    accuracy: float
    tokens: float
    """Prompt and completion tokens an item."""
    workflow: str
    """Digest of its source."""
    designers: tuple[str, ...]
    """Labels of those that found it, in the order of the tables."""
    measurements: int
    """Measurements that both figures are the mean of."""


P = TypeVar("P", bound=Point)


def pareto_front(points: Iterable[P]) -> list[P]:
    """Return the points that no other one beats: no other has as much accuracy for fewer tokens, or more for as many.

    Args:
        points: the workflows; of those that are equal in both figures the first counts.

    Returns:
        The front, tokens and accuracy both rising.

    Example:
        >>> cheap, dear, worse = (Point(a, t, "", (), 1) for a, t in ((0.5, 100), (0.7, 900), (0.6, 950)))
        >>> pareto_front([worse, dear, cheap]) == [cheap, dear]
        True
    """
    front: list[P] = []
    for point in sorted(points, key=lambda p: (p.tokens, -p.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


@dataclass(frozen=True)
class Front:
    """The workflows of a run on one benchmark."""

    name: str
    """What the run is called in titles."""
    tested: list[Point]
    """Every workflow that was tested, with its test accuracy."""
    searched: list[Point]
    """Every workflow that was measured on all validation items while training or searching, with that accuracy."""
    items: int
    """Number of test items."""
    simulated: bool

    @classmethod
    def of(cls, name: str, groups: Mapping[str, Sequence[CellResult]], items: int, simulated: bool) -> Self:
        """Gather the workflows of some cells.

        Args:
            name: what the run is called in titles.
            groups: label of a designer, or of a setting -> its finished cells.
            items: number of test items.
            simulated: whether the executor was simulated.
        """
        tested: list[tuple[str, str, float, float]] = []
        searched: list[tuple[str, str, float, float]] = []
        for label, cells in groups.items():
            for cell in cells:
                for digest, workflow in cell.result["workflows"].items():
                    tested.append((digest, label, workflow["accuracy"], _tokens(workflow)))
                # Runs of earlier code do not have it.
                searched += [(d, label, accuracy, tokens) for d, accuracy, tokens in cell.result.get("measured", [])]
        return cls(name, _points(tested), _points(searched), items, simulated)

    @classmethod
    def of_results(cls, results: Results, name: str = "") -> Self:
        """Gather the workflows of a comparison."""
        groups = {results.label(algo): results.of(algo) for algo in results.algos}
        return cls.of(name or results.config.env, groups, results.items, results.simulated)

    def table(self) -> Table:
        """Return the front of the tested workflows."""
        mark = " (simulated)" if self.simulated else ""
        table = Table(
            f"Pareto front of test accuracy and tokens an item on {self.name}{mark}",
            ["workflow", "found by", "tok./item", "test % [95%]", "tests"],
        )
        for point in pareto_front(self.tested):
            interval = wilson(point.accuracy * self.items, self.items)
            table.add(
                point.workflow[:8],
                ", ".join(point.designers),
                plain(point.tokens, ".0f"),
                percent_interval(interval),
                str(point.measurements),
            )
        table.notes.append(
            f"Of the workflows that were tested ({len(self.tested)}), those that no other one beats in both figures; "
            "view.html shows their code. Chosen among many by their test accuracy, they promise too much: to use one, "
            "measure it again. Intervals: Wilson, over the items."
        )
        return table


def _tokens(workflow: Mapping[str, Any]) -> float:
    """Mean tokens of the items that could be asked."""
    usage, asked = workflow["usage"], sum(score is not None for score in workflow["scores"])
    return (usage["prompt_tokens"] + usage["completion_tokens"]) / max(1, asked)


def _points(measured: Iterable[tuple[str, str, float, float]]) -> list[Point]:
    """Make one point of all measurements (digest, label, accuracy, tokens) of a workflow."""
    by_workflow: dict[str, list[tuple[str, float, float]]] = {}
    for digest, label, accuracy, tokens in measured:
        by_workflow.setdefault(digest, []).append((label, accuracy, tokens))
    return [
        Point(
            float(np.mean([accuracy for _, accuracy, _ in found])),
            float(np.mean([tokens for _, _, tokens in found])),
            digest,
            tuple(dict.fromkeys(label for label, _, _ in found)),
            len(found),
        )
        for digest, found in by_workflow.items()
    ]
