"""Results of single items that the environments of one process share, where measuring again would only repeat them."""

from __future__ import annotations

from collections.abc import Hashable

from w4s_gym.latest import Latest
from w4s_gym.results import ItemResult

MOST = 100_000
"""Results kept for one kind of environment, those last asked for (some 100 MB)."""
LASTING = ("ok", "error", "no_result", "budget")
"""Statuses that do not depend on how busy the machine is."""


class Remembered:
    """What workflows did on items, by workflow, item and draw."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._kept = Latest[tuple[str, str, int], tuple[ItemResult, frozenset[str]]](MOST)

    def get(self, workflow: str, item_id: str, draw: int) -> tuple[ItemResult, frozenset[str]] | None:
        """Return a result and what was noted beside it, or None."""
        return self._kept.get((workflow, item_id, draw))

    def keep(self, workflow: str, item_id: str, draw: int, result: ItemResult, notes: frozenset[str]) -> None:
        """Keep a result, unless another run of the same could end otherwise."""
        if result.status in LASTING:
            self._kept.keep((workflow, item_id, draw), (result, notes))


_by_kind: dict[Hashable, Remembered] = {}


def remembered(kind: Hashable) -> Remembered:
    """Return what this process remembers for environments of one kind: same items, executor, limits and sandbox."""
    return _by_kind.setdefault(kind, Remembered())
