"""Fair sharing of what is scarce (processors, processes, connections) among the candidates that run at once.

Whose share a piece of work counts against travels in the context of its task, since graders, call handlers and
executors start work for a candidate too. With m sharers at work, each gets at least an m-th of what `Shares` hands out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_sharer: ContextVar[Hashable] = ContextVar("sharer", default=None)


def current_sharer() -> Hashable:
    """Return who the running task works for."""
    return _sharer.get()


@contextmanager
def working_for(sharer: Hashable) -> Iterator[None]:
    """Let all that is started inside count against the share of `sharer`."""
    token = _sharer.set(sharer)
    try:
        yield
    finally:
        _sharer.reset(token)


class Turns:
    """A queue in which sharers take turns: next is the first in line of the one who holds least.

    Ties go to the one whose last turn is longest ago.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.held: dict[Hashable, int] = {}
        """What each sharer holds now; who holds nothing is left out."""
        self._lines: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> bool:
        """Whether anyone stands in line."""
        return bool(self._lines)

    def join(self, sharer: Hashable, first: bool = False) -> asyncio.Future[None]:
        """Stand in line, at the head of one's own if `first`; the future is done when the turn has come."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._lines.setdefault(sharer, deque())
        if first:
            line.appendleft(turn)
        else:
            line.append(turn)
        return turn

    def leave(self, sharer: Hashable, turn: asyncio.Future[None]) -> bool:
        """Give up waiting; return whether the turn had come already, so that what was handed over must go back."""
        if turn.done() and not turn.cancelled():
            return True
        line = self._lines.get(sharer)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[sharer]
        return False

    def next(self) -> Hashable:
        """Return whose turn it is; there must be someone in line."""
        return min(self._lines, key=lambda sharer: self.held.get(sharer, 0))

    def least(self) -> int:
        """Return how much the sharer whose turn it is holds; there must be someone in line."""
        return self.held.get(self.next(), 0)

    def hold(self, sharer: Hashable) -> None:
        """Count that a sharer took one without waiting."""
        self.held[sharer] = self.held.get(sharer, 0) + 1

    def serve(self, sharer: Hashable) -> bool:
        """Hand one over to the first in line of a sharer, and count it; False if that one has just given up."""
        line = self._lines.pop(sharer)
        turn = line.popleft()
        if line:
            self._lines[sharer] = line  # now the last: dicts keep the order in which keys came
        if turn.done():
            return False
        self.hold(sharer)
        turn.set_result(None)
        return True

    def release(self, sharer: Hashable) -> None:
        """Count that a sharer gave one back."""
        left = self.held[sharer] - 1
        if left:
            self.held[sharer] = left
        else:
            del self.held[sharer]


class Shares:
    """A number of equal things to hold. Must be used from one event loop."""

    def __init__(self, count: int, *, keep_free: bool = False) -> None:
        """Hand out `count`.

        Args:
            count: how many there are.
            keep_free: a sharer may hold no more than twice what is free, so that one who comes later need not wait for
                the others to give back: m sharers get 2/(2m + 1) of all each (a single one 2/3).
        """
        self._free = count
        self._keep_free = keep_free
        self._turns = Turns()

    def try_take(self, sharer: Hashable) -> bool:
        """Take one, if one is free and nobody waits who should come first."""
        if self._turns.waiting or not self._allows(sharer):
            return False
        self._free -= 1
        self._turns.hold(sharer)
        return True

    async def take(self, sharer: Hashable) -> None:
        """Wait for one."""
        if self.try_take(sharer):
            return
        turn = self._turns.join(sharer)
        self._hand_out()  # others may wait for more than they may have, while this one may
        try:
            await turn
        except asyncio.CancelledError:
            if self._turns.leave(sharer, turn):
                self.give(sharer)
            raise

    def give(self, sharer: Hashable) -> None:
        """Give one back; it goes to whoever holds least of those who wait."""
        self._turns.release(sharer)
        self._free += 1
        self._hand_out()

    def owes(self, sharer: Hashable) -> bool:
        """Tell whether a sharer holds more than one who waits."""
        return self._turns.waiting and self._turns.held.get(sharer, 0) > self._turns.least()

    def _allows(self, sharer: Hashable) -> bool:
        if self._keep_free:
            return self._turns.held.get(sharer, 0) < 2 * self._free
        return self._free > 0

    def _hand_out(self) -> None:
        while self._turns.waiting:
            sharer = self._turns.next()
            if not self._allows(sharer):
                return
            self._free -= self._turns.serve(sharer)
