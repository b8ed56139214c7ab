"""What a running cell tells: what it does, how far it is, what it has cost, a new point of its learning curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from w4s_gym.usage import Usage


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
