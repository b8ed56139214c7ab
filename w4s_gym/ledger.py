"""Ledger of executor usage with caps, nested run > evaluation > item."""

from __future__ import annotations

from dataclasses import dataclass

from w4s_gym.errors import BudgetExceeded
from w4s_gym.executors.base import Usage


@dataclass(frozen=True)
class Caps:
    """Largest usage allowed; None means no cap."""

    calls: int | None = None
    """Samples asked for, cached ones included."""
    tokens: int | None = None
    """Prompt plus completion tokens."""
    dollars: float | None = None
    """US dollars of calls that were not cached."""


class Ledger:
    """Adds up usage and refuses calls over a cap; what a child spends is charged to its parents too."""

    def __init__(self, name: str, caps: Caps | None = None, parent: Ledger | None = None) -> None:
        """Open a ledger called `name` (used in messages) below `parent`."""
        self.name = name
        self.caps = caps or Caps()
        self.parent = parent
        self.usage = Usage()
        self._reserved = 0

    def child(self, name: str, caps: Caps | None = None) -> Ledger:
        """Open a ledger whose usage counts here too."""
        return Ledger(name, caps, self)

    def reserve(self, calls: int) -> None:
        """Announce `calls` samples before they are paid.

        Raises:
            BudgetExceeded: a cap of this ledger or of a parent would be passed; nothing is reserved then.
        """
        chain = self._chain()
        for ledger in chain:
            ledger._check(calls)
        for ledger in chain:
            ledger._reserved += calls

    def settle(self, calls: int, usage: Usage) -> None:
        """Replace a reservation of `calls` samples by what they really cost (an empty `Usage` if they failed)."""
        for ledger in self._chain():
            ledger._reserved -= calls
            ledger.usage = ledger.usage + usage

    def _chain(self) -> list[Ledger]:
        chain: list[Ledger] = []
        ledger: Ledger | None = self
        while ledger is not None:
            chain.append(ledger)
            ledger = ledger.parent
        return chain

    def _check(self, calls: int) -> None:
        planned = self.usage.calls + self._reserved + calls
        if self.caps.calls is not None and planned > self.caps.calls:
            raise BudgetExceeded(f"{self.name}: {planned} executor calls would pass the cap of {self.caps.calls}")
        tokens = self.usage.prompt_tokens + self.usage.completion_tokens
        if self.caps.tokens is not None and tokens >= self.caps.tokens:
            raise BudgetExceeded(f"{self.name}: {tokens} tokens are spent, the cap is {self.caps.tokens}")
        if self.caps.dollars is not None:
            if self.usage.dollars is None:
                raise BudgetExceeded(f"{self.name}: a dollar cap needs a known price; set the price of the executor")
            if self.usage.dollars >= self.caps.dollars:
                raise BudgetExceeded(f"{self.name}: ${self.usage.dollars:.4f} are spent, the cap is ${self.caps.dollars}")
