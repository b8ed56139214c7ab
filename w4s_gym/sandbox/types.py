"""Plain data that goes into and comes out of the workflow sandbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal[
    "ok",
    "error",
    "timeout_cpu",
    "timeout_wall",
    "memory",
    "crashed",
    "no_result",
    "budget",
    "protocol",
    "infrastructure",
]
"""How one run ended. `infrastructure` is the host's or the endpoint's fault and is never scored."""


@dataclass(frozen=True)
class Limits:
    """Limits of one run inside the sandbox."""

    cpu_seconds: float = 10.0
    """CPU time of the run; the rule that ends runaway code."""
    wall_seconds: float = 30.0
    """Wall clock, paused while a call to the host is pending."""
    absolute_seconds: float = 3600.0
    """Wall clock that never pauses. Only waiting for the host can reach it, so it must cover a slow executor."""
    memory_mb: int = 1024
    """Address space."""
    threads: int = 128
    """Most threads at a time."""
    calls: int = 2_000
    """Most calls to the host, refused ones included; a run that makes more ends as `budget`."""
    result_bytes: int = 64_000
    """Largest result frame."""
    output_bytes: int = 4_000
    """Tail of standard output and error that is kept."""


PROGRAM_LIMITS = Limits(cpu_seconds=5.0, wall_seconds=10.0, absolute_seconds=30.0, memory_mb=512)
"""Limits of `execute_code` and of test runs."""


@dataclass(frozen=True)
class ErrorReport:
    """Why a run failed, cut to a size that a meta-agent can read."""

    kind: str
    """Exception type, or the status for a run that was ended from outside."""
    message: str
    """At most 500 characters."""
    line: int | None = None
    """1-based line of the submitted source where it failed."""
    source_line: str = ""
    """The text of that line."""

    def text(self) -> str:
        """One readable line: `NameError: name 'x' is not defined (line 3: return x)`."""
        where = f" (line {self.line}: {self.source_line.strip()})" if self.line else ""
        return f"{self.kind}: {self.message}{where}"


@dataclass(frozen=True)
class RunOutcome:
    """Result of running a workflow on one item, or a program."""

    status: Status
    """How the run ended."""
    value: Any = None
    """Plain JSON data: the dict returned by `solver`, or the value of a program. None unless status is `ok`."""
    error: ErrorReport | None = None
    """Set unless status is `ok`."""
    output: str = ""
    """Tail of what the run printed."""
    cpu_seconds: float = 0.0
    """CPU time used (varies from run to run: never put it into `info`)."""
    wall_seconds: float = 0.0
    """Wall clock that counted against the limit (varies, too)."""


@dataclass(frozen=True)
class TestJob:
    """Run test code against a candidate program."""

    __test__ = False  # not a pytest class

    candidate: str
    """Source of the candidate (a whole module)."""
    entry_point: str
    """Name of the function under test."""
    tests: str
    """Trusted Python source that raises when the candidate is wrong; it sees the candidate's names."""
    setup: str = ""
    """Trusted source that runs before the tests, on the tester's side (imports, helpers)."""
    limits: Limits = PROGRAM_LIMITS


@dataclass(frozen=True)
class TestOutcome:
    """Result of a `TestJob`."""

    __test__ = False

    status: Status
    """`ok` means that every test passed."""
    error: ErrorReport | None = None
    """The first failure."""
    wall_seconds: float = field(default=0.0, compare=False)
    """Wall clock of both processes (varies from run to run)."""


CallHandler = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Host side of a workflow's calls: (method, keyword arguments) -> plain JSON, or `Charged`. Raise `WorkflowCallError`
to make the call raise inside the workflow, or `RunEnded` to end the run; any other exception ends it as
`infrastructure`."""


@dataclass(frozen=True)
class Charged:
    """Value of a call during which the host computed for the workflow, for instance ran a program."""

    value: Any
    seconds: float
    """Counts against the workflow's wall limit."""


class RunEnded(Exception):
    """Raised by a call handler to end the run, because the workflow does not stop by itself."""

    def __init__(self, status: Status, message: str) -> None:
        """Keep the status that the run gets."""
        super().__init__(message)
        self.status = status


class WorkflowCallError(Exception):
    """Raised by a call handler; becomes an exception of class `kind` inside the workflow."""

    def __init__(self, kind: str, message: str, *, status: Status = "error", seconds: float = 0.0) -> None:
        """Keep the class name, the message, the status the run gets if the workflow does not catch it.

        Args:
            kind: name of the exception's class.
            message: its message.
            status: what the run gets.
            seconds: what counts against the workflow's wall limit, as in `Charged`.
        """
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.seconds = seconds
