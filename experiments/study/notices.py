"""What a running cell tells: what it does, how far it is, what it has cost, a new point of its learning curve."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from w4s_gym.ledger import Ledger
from w4s_gym.usage import Usage

EVERY = 2.0
"""Seconds between two notices of a cell that is busy with one thing."""


@dataclass(frozen=True)
class Notice:
    """What a running cell tells."""

    what: str
    """What it does."""
    share: float
    """Share of the cell that is done, from 0 to 1."""
    usage: Usage = field(default_factory=Usage)
    """What its executor calls have cost so far."""
    point: Mapping[str, float] | None = None
    """A new point of the learning curve: calls so far, best so far, the algorithm's own figures."""


Notify = Callable[[Notice], None]
"""May be called from any thread."""


class Teller:
    """Tells what a cell does whenever that changes, and every few seconds what it has cost; a context manager."""

    def __init__(self, notify: Notify) -> None:
        self.ledgers: list[Ledger] = []
        """Of the environments that were opened so far."""
        self._notify = notify
        self._last = Notice("starting", 0.0)
        self._over = threading.Event()
        self._ticking = threading.Thread(target=self._tick, name="w4s-teller", daemon=True)

    def __enter__(self) -> Teller:
        self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._ticking.join()

    @property
    def usage(self) -> Usage:
        """What all executor calls of the cell have cost so far."""
        return sum((ledger.usage for ledger in self.ledgers), Usage())

    def tell(self, what: str, share: float, point: Mapping[str, float] | None = None) -> None:
        """Say what is being done, and how much of the cell is done; see `Notice`."""
        self._last = Notice(what, min(1.0, share), self.usage)
        self._notify(Notice(what, min(1.0, share), self.usage, point))

    def _tick(self) -> None:
        while not self._over.wait(EVERY):
            last, usage = self._last, self.usage
            if usage != last.usage:
                self._notify(Notice(last.what, last.share, usage))
