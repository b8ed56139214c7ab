"""The wall clock of a confined child: it stands still at times, and goes on for a child that computes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

BUSY_SHARE = 0.02
"""Part of the wall limit that a child must have spent computing to get more wall clock."""

MAX_EXTENSIONS = 4
"""How often a child that computes gets its wall limit again (the CPU limit and the absolute limit stay)."""


class WallClock:
    """Counts what counts against a wall limit; it starts stopped. Everything happens on the event loop."""

    def __init__(self, limit: float, on_due: Callable[[], None]) -> None:
        """Prepare the clock.

        Args:
            limit: seconds that it may run.
            on_due: called when it has; it may `extend` the limit.
        """
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._on_due = on_due
        self._deadline = float("inf")
        self._left = limit
        self._started = 0.0
        self._charged = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._extensions = 0
        self._cpu_seen = 0.0
        self.used = 0.0
        """Seconds that it ran, up to the last `stop`."""

    @property
    def running(self) -> bool:
        """Whether time counts now."""
        return self._deadline != float("inf")

    def start(self) -> None:
        """Let it run, if it does not."""
        if self.running:
            return
        self._started = self._loop.time()
        self._deadline = self._started + self._left
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._tick)

    def stop(self) -> None:
        """Let it stand still, if it runs."""
        if not self.running:
            return
        now = self._loop.time()
        self._left = max(0.0, self._deadline - now)
        self.used += now - self._started
        self._deadline = float("inf")

    def charge(self, seconds: float) -> bool:
        """Count what the host computed for the child; return whether that alone has reached the limit."""
        self._charged += seconds
        self._left = max(0.0, self._left - seconds)
        return self._charged >= self._limit

    def is_due(self) -> bool:
        """Whether it runs and has reached the limit."""
        return self.running and self._loop.time() >= self._deadline

    def extend(self, cpu_seconds: float) -> bool:
        """Give a child that computes its limit again: on a busy machine the CPU limit is the rule and comes first.

        Args:
            cpu_seconds: that the child has used so far.

        Returns:
            Whether there is more time.
        """
        if cpu_seconds - self._cpu_seen <= BUSY_SHARE * self._limit or self._extensions >= MAX_EXTENSIONS:
            return False
        self._cpu_seen = cpu_seconds
        self._extensions += 1
        self._deadline = self._loop.time() + self._limit
        self._timer = self._loop.call_at(self._deadline, self._tick)
        return True

    def end_in(self, seconds: float, act: Callable[[], None]) -> None:
        """Look at the limit no more; act after this time."""
        self._timer = self._loop.call_later(seconds, act)

    def close(self) -> None:
        """Call nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        """Look at the limit; timers are not moved on every call of the child, they look again instead."""
        self._timer = None
        if not self.running:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._tick)
        else:
            self._on_due()
