"""What the children of a zygote do with processor and memory, looked at ten times a second.

Most children end before the first look, and one that waits costs a single system call: the ordinary way stays fast.
"""

from __future__ import annotations

import sys
import time

from . import confine

INTERVAL = 0.1
"""Seconds between two looks."""

BUSY_SHARE = 0.02
"""A child is computing when it used at least this share of the time since the last look, or would if it were let."""


class _Seen:
    def __init__(self, since: float) -> None:
        self.since = since
        self.cpu = 0.0
        self.memory = 0
        self.busy = True
        self.runnable = True
        self.looked = False
        self.ended = 0


class Watch:
    """Keeps what was last seen of each child."""

    def __init__(self, base: int, bound: int) -> None:
        """Watch nobody yet.

        Args:
            base: resident memory of the zygote in bytes, which its children share.
            bound: bytes that all children together may have on top of it.
        """
        self._base = base
        self._bound = bound
        self._children: dict[int, _Seen] = {}
        self._next = 0.0

    def add(self, pid: int) -> None:
        """Watch one more child."""
        now = time.monotonic()
        if not self._children:
            self._next = now + INTERVAL
        self._children[pid] = _Seen(now)

    def remove(self, pid: int) -> int:
        """Forget a child that has ended; return the megabytes it was ended for, if that was why."""
        return self._children.pop(pid).ended

    def wait(self) -> float | None:
        """Return the milliseconds until the next look; None when nobody is watched."""
        return max(0.0, self._next - time.monotonic()) * 1000 + 1 if self._children else None

    def is_due(self) -> bool:
        """Tell whether it is time to look."""
        return bool(self._children) and time.monotonic() >= self._next

    def look(self) -> list[int]:
        """Look at all children; return those that must be ended for the memory they hold, largest first."""
        now = time.monotonic()
        self._next = now + INTERVAL
        if sys.platform != "linux":  # there is no clock to look at
            return []
        for pid, seen in self._children.items():
            elapsed = now - seen.since
            if elapsed < INTERVAL / 2:
                continue
            used = cpu_seconds(pid)
            if used > seen.cpu:
                seen.memory = max(0, confine.memory_of(pid)[1] - self._base)
            busy = used - seen.cpu >= BUSY_SHARE * elapsed
            seen.runnable = (busy or seen.busy or used > seen.cpu) and _is_runnable(pid)
            busy = busy or seen.runnable  # on a crowded machine it may just not have had its turn
            seen.since, seen.cpu, seen.busy, seen.looked = now, used, busy, True
        return self._too_large()

    def seen(self) -> list[tuple[int, bool, bool]]:
        """Return (process id, whether it computed since the last look, whether it does now) of all looked at."""
        return [(pid, seen.busy, seen.runnable) for pid, seen in self._children.items() if seen.looked]

    def _too_large(self) -> list[int]:
        total = sum(seen.memory for seen in self._children.values())
        ended = []
        for pid, seen in sorted(self._children.items(), key=lambda child: -child[1].memory):
            if total <= self._bound:
                break
            total -= seen.memory
            if not seen.ended:
                seen.ended = max(1, seen.memory >> 20)
                ended.append(pid)
        return ended


def _is_runnable(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] == b"R"
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a child has used, from its CPU clock (Linux; 0 elsewhere)."""
    if sys.platform != "linux":
        return 0.0
    return time.clock_gettime((~pid << 3) | 2)
