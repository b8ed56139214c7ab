"""How a confined child ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from w4s_gym.sandbox.types import Limits, Status
from w4s_gym.sandbox.zygote_process import Exit


@dataclass
class Ending:
    """How a child ended, before it is put into words."""

    status: Status
    result: dict[str, Any] | None = None
    """Body of the result frame."""
    detail: str = ""
    """What the host has to say about it."""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    """Wall clock that counted against the limit."""
    error: BaseException | None = None
    """Exception of the call handler, for `infrastructure`."""


def by_exit(exit_: Exit, limits: Limits) -> Ending:
    """Say why a child that sent no result ended."""
    if exit_.too_much_memory:
        detail = f"it held {exit_.too_much_memory} MB, the most of all, when all processes together passed their bound"
        return Ending("memory", detail=detail)
    if exit_.code >= 0:
        return Ending("no_result", detail=f"the process ended without a result (exit code {exit_.code})")
    number = -exit_.code
    if number in (signal.SIGXCPU, signal.SIGPROF) or (
        number == signal.SIGKILL and exit_.cpu_seconds > limits.cpu_seconds
    ):
        return Ending("timeout_cpu", detail=f"used more than {limits.cpu_seconds:g} s of CPU time")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return Ending("crashed", detail=f"the process was ended by {name}")
