"""What model calls cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Usage:
    """What calls cost. Adds up with `+`."""

    calls: int = 0
    """Samples asked for (a call with n=5 counts 5), cached ones included."""
    cached_calls: int = 0
    """Those of `calls` that a cache answered."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = 0.0
    """Price of the calls that were not cached; None when the price is unknown."""
    seconds: float = 0.0
    """Latency summed over calls (simulated executors: modelled latency)."""
    empty: int = 0
    """Replies without text."""
    truncated: int = 0
    """Replies cut at the token limit."""
    malformed: int = 0
    """JSON replies that did not parse or lacked keys."""
    unanswered: int = 0
    """Requests sent whose answer never came back whole (timeouts, lost connections, cancelled calls). The endpoint may
    have billed them; their tokens and dollars are unknown and not in the sums."""
    programs: int = 0
    """Programs and public tests that the workflow had run."""
    cached_dollars: float | None = 0.0
    """What the cached calls cost when they were paid; None when that is unknown."""
    by_executor: Mapping[str, Usage] = field(default_factory=dict)
    """Share of each executor of a pool; empty where there is one executor only."""

    def __add__(self, other: Usage) -> Usage:
        """Add field by field; an unknown price makes the sum unknown.

        Dollars and seconds are added as whole numbers of 1e-10 dollars and microseconds, so that a sum does not depend
        on which call came back first.
        """
        return Usage(
            self.calls + other.calls,
            self.cached_calls + other.cached_calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            _dollars(self.dollars, other.dollars),
            _add(self.seconds, other.seconds, 6),
            self.empty + other.empty,
            self.truncated + other.truncated,
            self.malformed + other.malformed,
            self.unanswered + other.unanswered,
            self.programs + other.programs,
            _dollars(self.cached_dollars, other.cached_dollars),
            self._shares(other) if self.by_executor or other.by_executor else {},
        )

    def _shares(self, other: Usage) -> dict[str, Usage]:
        names = dict.fromkeys((*self.by_executor, *other.by_executor))
        return {name: self.of(name) + other.of(name) for name in names}

    def of(self, executor: str) -> Usage:
        """Share of one executor of a pool."""
        return self.by_executor.get(executor, Usage())

    def again(self) -> Usage:
        """The same calls answered from memory: cached ones that cost nothing."""
        shares = {name: usage.again() for name, usage in self.by_executor.items()}
        return replace(self, cached_calls=self.calls, dollars=0.0, cached_dollars=self.full_dollars, by_executor=shares)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def full_dollars(self) -> float | None:
        """Price of all calls as if none had been cached: it does not depend on what was asked before."""
        return _dollars(self.dollars, self.cached_dollars)


def _dollars(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else _add(a, b, 10)


def _add(a: float, b: float, digits: int) -> float:
    return round(round(a, digits) + round(b, digits), digits)
