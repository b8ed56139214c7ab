"""Executors: what answers the model calls of a workflow."""

from __future__ import annotations

from w4s_gym.errors import UnknownExecutor
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, Executor, Usage

__all__ = ["ChatReply", "ChatRequest", "Completion", "Executor", "Usage", "make_executor"]


def make_executor(spec: str) -> Executor:
    """Make the executor that `spec` names.

    Args:
        spec: `sim:<profile name or path>`, `openai:<model>` or `local:<known name or gguf path>`.

    Raises:
        UnknownExecutor: unknown scheme, profile or model.
    """
    scheme, _, rest = spec.partition(":")
    if scheme == "sim" and rest:
        from w4s_gym.executors.sim import SimulatedExecutor

        return SimulatedExecutor(spec)
    if scheme == "openai" and rest:
        from w4s_gym.executors.openai_api import OpenAIExecutor

        return OpenAIExecutor(spec)
    if scheme == "local" and rest:
        from w4s_gym.executors.local import LocalExecutor

        return LocalExecutor(spec)
    raise UnknownExecutor(f"expected 'sim:<profile>', 'openai:<model>' or 'local:<name or gguf file>'; got {spec!r}")
