"""Executors: what answers the model calls of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from w4s_gym.errors import ConfigError, UnknownExecutor
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, Executor

if TYPE_CHECKING:
    from w4s_gym.executors.batching import Endpoint
    from w4s_gym.executors.cache import CacheMode

__all__ = ["ChatReply", "ChatRequest", "Completion", "Executor", "make_executor"]


def make_executor(spec: str, config: Mapping[str, Any] | None = None) -> Executor:
    """Make the executor that `spec` names.

    Args:
        spec: `sim:<profile name or path>`, `openai:<model>` or `local:<known name or gguf path>`; any of these
            recorded as `record:<file>@<spec>`; or the recording played back as `replay:<file>`.
        config: plain JSON data. `cache_folder`: where replies of real models are stored (simulated ones repeat
            themselves anyway); `cache`: `off`, `read` (use stored replies) or `write` (use and store; the default if
            there is a folder). All other keys are fields of `EndpointConfig` (openai) or `LocalConfig` (local).

    Raises:
        UnknownExecutor: unknown scheme, profile or model.
        ConfigError: an unusable config, or no API key.
    """
    scheme, _, rest = spec.partition(":")
    if scheme == "record" and "@" in rest:
        from w4s_gym.executors.recording import RecordingExecutor

        path, _, inner = rest.partition("@")
        return RecordingExecutor(make_executor(inner, config), path)
    if scheme == "replay" and rest:
        from w4s_gym.executors.recording import ReplayExecutor

        return ReplayExecutor(rest)
    own = dict(config or {})
    folder = own.pop("cache_folder", None)
    mode = own.pop("cache", "write" if folder else "off")
    if scheme == "sim" and rest:
        from w4s_gym.executors.sim import SimulatedExecutor

        return SimulatedExecutor(spec)
    if scheme == "openai" and rest:
        from w4s_gym.executors.openai_api import OpenAIExecutor

        return _cached(OpenAIExecutor(spec, own), folder, mode)
    if scheme == "local" and rest:
        from w4s_gym.executors.local import LocalExecutor

        return _cached(LocalExecutor(spec, own), folder, mode)
    raise UnknownExecutor(
        "expected 'sim:<profile>', 'openai:<model>', 'local:<name or gguf file>', 'record:<file>@<executor>' or "
        f"'replay:<file>'; got {spec!r}"
    )


def _cached(endpoint: Endpoint, folder: str | None, mode: CacheMode) -> Executor:
    if mode == "off":
        return endpoint
    if folder is None:
        raise ConfigError(f"executor config: cache {mode!r} needs a cache_folder")
    from w4s_gym.executors.cache import CachedExecutor

    return CachedExecutor(endpoint, folder, mode)
