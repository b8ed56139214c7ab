"""How many calls are in flight at one endpoint: adapts to what the endpoint takes."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from w4s_gym.shares import Turns, current_sharer

_START = 16
_SHRINK = 0.7
_REJECTIONS_IN_A_ROW = 2


class Pool:
    """Slots for calls to one endpoint, shared by everything in the process that uses it.

    The number of slots starts at 16 and grows by one for each answer (it doubles per round trip) until the endpoint
    complains for the first time (429, overload, timeout). Then it shrinks by 30%, at most once per round trip, and
    grows by one per round trip: additive increase, multiplicative decrease, as in TCP's congestion control (RFC 5681).
    One rejection with `Retry-After` delays only its own call; the second in a row, with no answer between them, stops
    all new calls until the time it names. Candidates that wait take turns, so that none has to wait for all calls of
    another.
    """

    def __init__(self, most: int) -> None:
        """Open a pool that never has more than `most` calls in flight."""
        self.most = most
        self.limit = float(min(_START, most))
        self.in_flight = 0
        self.peak = 0
        """Most calls that were in flight at once."""
        self.reached = False
        """The endpoint has sent at least one response of any kind."""
        self._starting = True
        self._round = 0
        self._rejections = 0
        self._closed_until = 0.0
        self._turns = Turns()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self, *, first: bool = False) -> AsyncIterator[int]:
        """Wait for a slot and hold it.

        Args:
            first: stand at the head of the candidate's queue (retries: the call has waited before).

        Yields:
            The round, to be handed to `congested`.
        """
        sharer = current_sharer()
        if self._turns.waiting or not self._free():
            turn = self._turns.join(sharer, first)
            self._wake()
            try:
                await turn
            except asyncio.CancelledError:
                if self._turns.leave(sharer, turn):  # the slot was given to this call, which is gone
                    self._give(sharer)
                else:
                    self._wake()
                raise
        else:
            self._turns.hold(sharer)
            self._count()
        try:
            yield self._round
        finally:
            self._give(sharer)

    def answered(self) -> None:
        """Note an answer: there may be room for more."""
        self.reached = True
        self._rejections = 0
        self.limit = min(self.limit + (1.0 if self._starting else 1.0 / self.limit), float(self.most))
        self._wake()

    def congested(self, started: int, retry_after: float | None = None) -> None:
        """Note that the endpoint asked for less.

        Args:
            started: the round in which the call got its slot; one complaint per round counts.
            retry_after: seconds after which the endpoint wants to be asked again.
        """
        self._starting = False
        if started == self._round:
            self._round += 1
            self.limit = max(1.0, self.limit * _SHRINK)
        if retry_after is not None:
            self._rejections += 1
            if self._rejections >= _REJECTIONS_IN_A_ROW:
                self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + retry_after)

    def _free(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self.in_flight < int(self.limit) and now >= self._closed_until

    def _count(self) -> None:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def _give(self, sharer: Hashable) -> None:
        self.in_flight -= 1
        self._turns.release(sharer)
        self._wake()

    def _wake(self) -> None:
        while self._turns.waiting and self._free():
            if self._turns.serve(self._turns.next()):
                self._count()
        loop = asyncio.get_running_loop()
        if self._turns.waiting and loop.time() < self._closed_until and self._timer is None:
            self._timer = loop.call_at(self._closed_until, self._reopen)

    def _reopen(self) -> None:
        self._timer = None
        self._wake()


_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Pool]] = weakref.WeakKeyDictionary()


def pool_for(endpoint: str, most: int) -> Pool:
    """Return the running loop's pool of this endpoint; the smallest `most` that anyone asked for holds."""
    pools = _pools.setdefault(asyncio.get_running_loop(), {})
    pool = pools.setdefault(endpoint, Pool(most))
    pool.most = min(pool.most, most)
    pool.limit = min(pool.limit, float(pool.most))
    return pool
