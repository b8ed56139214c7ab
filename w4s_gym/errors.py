"""Errors of the package. Each message says what was expected, what came and what to do."""

from __future__ import annotations

from w4s_gym.usage import Usage


class W4SError(Exception):
    """Base of all errors raised on purpose by this package."""


class UnknownBenchmark(W4SError):
    """No benchmark of that name is registered."""


class DataMissing(W4SError):
    """The data of a benchmark was not found; the message names all ways to provide it."""

    def __init__(self, message: str, ways: tuple[str, ...] = ()) -> None:
        """Keep the ways to provide it, the simplest first."""
        super().__init__(message)
        self.ways = ways


class DataCorrupt(W4SError):
    """A data file is truncated or altered; the message names the file and the row."""


class ConfigError(W4SError):
    """An option has a value that cannot be used."""


class UnknownExecutor(ConfigError):
    """The executor's name has an unknown scheme or model."""


class UnknownModel(UnknownExecutor):
    """A model's file is missing or is not the official one; the message names all ways to get it."""


class ExecutorUnavailable(W4SError):
    """The executor could not answer enough items; what it cost and what was measured so far are kept."""

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        """Keep what was billed before the failure (None: nothing)."""
        super().__init__(message)
        self.usage = usage


class RequestRefused(W4SError):
    """The endpoint works but refuses this request as such, or fails at it alone: the workflow's fault."""

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        """Keep what was billed before (None: nothing)."""
        super().__init__(message)
        self.usage = usage


class BudgetExceeded(W4SError):
    """A cap on calls, tokens or dollars was reached before the next call was paid."""

    def __init__(self, message: str, scope: str = "run") -> None:
        """Keep which ledger refused: `run`, `evaluation` or `item`."""
        super().__init__(message)
        self.scope = scope


class SandboxUnavailable(W4SError):
    """The machine does not offer the required isolation level; the message names the missing layer and the fix."""


class ProtocolError(W4SError):
    """A method of the environment was called out of order."""
