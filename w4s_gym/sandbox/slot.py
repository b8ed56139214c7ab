"""The right of a confined child to compute."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from w4s_gym.shares import Shares


class Slot:
    """A child's right to compute: held only while it does, and handed on when another sharer has less."""

    def __init__(self, slots: Shares, sharer: Hashable, held: bool) -> None:
        """Use `slots` for `sharer`; `held` if the caller took one for this child already."""
        self._slots = slots
        self._sharer = sharer
        self._taking: asyncio.Task[None] | None = None
        self._closed = False
        self.held = held

    def try_take(self) -> bool:
        """Hold one if that needs no waiting; return whether it is held."""
        if not self.held and self._taking is None:
            self.held = self._slots.try_take(self._sharer)
        return self.held

    async def take(self) -> None:
        """Wait for one and hold it; several may wait for the same."""
        if self.held:
            return
        if self._taking is None:
            self._taking = asyncio.ensure_future(self._slots.take(self._sharer))
            self._taking.add_done_callback(self._taken)
        await asyncio.shield(self._taking)

    def give(self) -> None:
        """Give it back, if it is held."""
        if self.held:
            self.held = False
            self._slots.give(self._sharer)

    def close(self) -> None:
        """Give it back and wait for none any more."""
        self._closed = True
        self.give()
        if self._taking is not None:
            self._taking.cancel()

    def is_due(self) -> bool:
        """Tell whether it should go to another sharer now."""
        return self.held and self._slots.owes(self._sharer)

    def _taken(self, taking: asyncio.Task[None]) -> None:
        self._taking = None
        if not taking.cancelled():
            self.held = True
            if self._closed:
                self.give()
