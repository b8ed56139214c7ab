"""What every measurement is made for: one draw of the executor's randomness, on one account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from w4s_gym.ledger import Caps, Ledger


@dataclass(frozen=True)
class Episode:
    """Facts that a measurement takes from its episode."""

    draw: int
    """Which independent draw of the executor's randomness; equal draws, equal replies."""
    ledger: Ledger
    """Pays."""

    def child(self, name: str, caps: Caps | None = None, executor_caps: Mapping[str, Caps] | None = None) -> Episode:
        """Return the same draw on an account below this one; see `Ledger.child`."""
        return replace(self, ledger=self.ledger.child(name, caps, executor_caps))
