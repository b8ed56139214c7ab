"""Runs model-written code in confined processes."""

from w4s_gym.sandbox.config import IsolationReport, LayerResult, Level, SandboxConfig
from w4s_gym.sandbox.remembering import RememberingSandbox
from w4s_gym.sandbox.sandbox import Sandbox
from w4s_gym.sandbox.types import (
    PROGRAM_LIMITS,
    CallHandler,
    Charged,
    ErrorReport,
    Limits,
    RunEnded,
    RunOutcome,
    Status,
    TestJob,
    TestOutcome,
    WorkflowCallError,
)

__all__ = [
    "PROGRAM_LIMITS",
    "CallHandler",
    "Charged",
    "ErrorReport",
    "IsolationReport",
    "LayerResult",
    "Level",
    "Limits",
    "RememberingSandbox",
    "RunEnded",
    "RunOutcome",
    "Sandbox",
    "SandboxConfig",
    "Status",
    "TestJob",
    "TestOutcome",
    "WorkflowCallError",
]
