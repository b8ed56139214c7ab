"""Results of single items of the workflows of a cell, from the record that its environments wrote."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from w4s_gym.algos.trajectory import Row
from w4s_gym.journal import read_journal


@dataclass(frozen=True)
class Start:
    """What an episode started from."""

    draw: int
    workflow: str
    accuracy: float


class ItemResults:
    """Validation results of a cell by workflow, and what its episodes started from."""

    def __init__(self, records: Iterable[dict[str, Any]]) -> None:
        """Read the records of an environment's journal."""
        self._found: dict[str, list[dict[str, Any]]] = {}
        self._starts: list[Start] = []
        for record in records:
            if record["kind"] == "evaluation" and record["part"] == "validation":
                self._found.setdefault(record["workflow"], []).append(record)
            elif record["kind"] == "reset" and "workflow" in record:  # earlier versions did not say it
                accuracy = max(record["seeds"].values())
                self._starts.append(Start(record["draw"], record["workflow"], accuracy))

    @classmethod
    def of_cell(cls, folder: Path) -> Self:
        """Read those of a cell's folder; a cell of an earlier version has none."""
        return cls(read_journal(folder / "evaluations.jsonl"))

    def start(self, row: Row) -> Start | None:
        """Return what the episode of a row started from, if that is known."""
        return self._starts[row.episode] if row.episode < len(self._starts) else None

    def find(self, workflow: str | None, accuracy: float | None, draw: int | None) -> dict[str, Any] | None:
        """Return the record of an evaluation.

        Args:
            workflow: source.
            accuracy: that it had, so that the record of another draw is not taken for it.
            draw: of the executor's randomness, if it is known.
        """
        if workflow is None or accuracy is None:
            return None
        same = [r for r in self._found.get(workflow, ()) if r["accuracy"] == accuracy]
        return max(same, key=lambda r: r["draw"] == draw, default=None)
