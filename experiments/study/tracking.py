"""Tracks the cells of a study while they run: one run of the tracker for each designer and seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from w4s_gym.journal import RunFolder
from w4s_gym.quoting import one_line
from w4s_gym.study.board import console
from w4s_gym.study.cell_figures import cell_figures
from w4s_gym.study.cells import Cell
from w4s_gym.study.track import Card, TrackedRun, TrackerName, start_run


class Tracking:
    """Runs of a tracker, one for each cell that has told something; a context manager."""

    def __init__(self, folder: RunFolder, tracker: TrackerName | None) -> None:
        """Track nothing yet; with None, nothing at all."""
        self._folder, self._tracker = folder, tracker
        self._runs: dict[str, TrackedRun] = {}
        self._lost: set[str] = set()
        self.places: list[str] = []
        """Where the runs can be seen."""

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._runs):
            self._end(name, {})

    def point(self, cell: Cell, point: Mapping[str, float]) -> None:
        """Add a point to the curves of a cell."""
        run = self._run(cell)
        if run is not None:
            self._try(cell.name, lambda: run.log(_keyed(point)))

    def finished(self, cell: Cell, result: Mapping[str, Any] | None) -> None:
        """End the run of a cell; None if it failed."""
        if result is not None and self._run(cell) is None:
            return
        self._end(cell.name, {} if result is None else cell_figures(cell.config, result))

    def again(self, cell: Cell, result: Mapping[str, Any]) -> None:
        """Track a cell that has finished before."""
        for point in result["curve"]:
            self.point(cell, point)
        self.finished(cell, result)

    def _run(self, cell: Cell) -> TrackedRun | None:
        if self._tracker is None or cell.name in self._lost:
            return None
        if cell.name not in self._runs:
            tracker, card = self._tracker, self._card(cell)

            def start() -> None:
                self._runs[cell.name] = start_run(tracker, card)
                self.places.append(self._runs[cell.name].place)

            self._try(cell.name, start)
        return self._runs.get(cell.name)

    def _card(self, cell: Cell) -> Card:
        identity = str(self._folder.facts.get("id") or self._folder.path.resolve())
        key = hashlib.blake2b(repr((identity, cell.key)).encode(), digest_size=8).hexdigest()
        group = f"{self._folder.path.resolve().name}-{hashlib.blake2b(identity.encode(), digest_size=3).hexdigest()}"
        config = {
            **{name: getattr(cell.config, name) for name in cell.config.measured},
            "designer": cell.algo,
            "seed": cell.seed,
            "variant": cell.variant,
            "facts": self._folder.facts,
        }
        return Card(self._folder.path, key, cell.name, group, config, self._folder.simulated)

    def _end(self, name: str, summary: Mapping[str, float]) -> None:
        run = self._runs.pop(name, None)
        if run is not None:
            self._try(name, lambda: run.finish(summary))

    def _try(self, name: str, act: Any) -> None:
        """Track; a tracker that fails costs nothing of the run, and is told once."""
        try:
            act()
        except Exception as error:
            self._lost.add(name)
            self._runs.pop(name, None)
            console.print(
                f"{name} is not tracked any more ({type(error).__name__}: {one_line(str(error), 200)}); "
                "`w4s-gym report RUN --track` sends it when all is over",
                soft_wrap=True,
            )


def _keyed(point: Mapping[str, float]) -> dict[str, float]:
    """Keys that line up between the runs: `calls` is the axis."""
    return {"calls": point["calls"], **{f"train/{name}": value for name, value in point.items() if name != "calls"}}
