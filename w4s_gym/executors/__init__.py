"""Executors: what answers the model calls of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from w4s_gym.errors import ConfigError, UnknownExecutor
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, Executor
from w4s_gym.executors.own import BUILT_IN, check_own, is_own, make_own, register_executor, registered_schemes
from w4s_gym.options import from_fields, near, refuse_unknown

if TYPE_CHECKING:
    from w4s_gym.executors.batching import Endpoint
    from w4s_gym.executors.cache import CacheMode, WhenFull

__all__ = ["ChatReply", "ChatRequest", "Completion", "Executor", "check_executor", "make_executor", "register_executor"]


def make_executor(spec: str, config: Mapping[str, Any] | None = None) -> Executor:
    """Make the executor that `spec` names.

    Args:
        spec: `sim:<profile name or path>`, `openai:<model>` or `local:<known name or gguf path>`; any of these
            recorded as `record:<file>@<spec>`; the recording played back as `replay:<file>`; or an executor of
            yours, `file.py:Class` or what `register_executor` made known.
        config: plain JSON data. `cache_folder`: where replies of real models are stored (simulated ones repeat
            themselves anyway); `cache`: `off`, `read` (use stored replies) or `write` (use and store; the default if
            there is a folder; executors of yours are stored if they are an `Endpoint`). `cache_full`: when replies
            cannot be stored any more, `stop` asking (the default) or `go on` without. All other keys are fields of
            `EndpointConfig` (openai) or `LocalConfig` (local), or arguments of your executor.

    Raises:
        UnknownExecutor: unknown scheme, profile or model.
        ConfigError: an unusable config, or no API key.

    Example:
        >>> import asyncio
        >>> from w4s_gym.benchmark import Item
        >>> executor = make_executor("sim:gpt-4o-mini")  # simulated: needs the item it is asked about
        >>> question = ({"role": "user", "content": "What is 17 + 25?"},)
        >>> request = ChatRequest(question, n=2, item=Item("sum", "What is 17 + 25?", "42"))
        >>> reply = asyncio.run(executor.complete(request))
        >>> executor.simulated, len(reply.completions), reply.usage.calls
        (True, 2, 2)
    """
    check_executor(spec, config)
    scheme, _, rest = spec.partition(":")
    if scheme == "record":
        from w4s_gym.executors.recording import RecordingExecutor

        path, _, inner = rest.partition("@")
        return RecordingExecutor(make_executor(inner, config), path)
    if scheme == "replay":
        from w4s_gym.executors.recording import ReplayExecutor

        return ReplayExecutor(rest)
    own = dict(config or {})
    folder = own.pop("cache_folder", None)
    mode = own.pop("cache", "write" if folder else "off")
    when_full = own.pop("cache_full", "stop")
    if is_own(spec):
        made = make_own(spec, own)
        storable = all(hasattr(made, name) for name in ("identity", "batch_size", "repeats", "ask"))
        return _cached(cast("Endpoint", made), folder, mode, when_full) if storable else made
    if scheme == "sim":
        from w4s_gym.executors.sim import SimulatedExecutor

        return SimulatedExecutor(spec)
    if scheme == "openai":
        from w4s_gym.executors.openai_api import OpenAIExecutor

        return _cached(OpenAIExecutor(spec, own), folder, mode, when_full)
    from w4s_gym.executors.local import LocalExecutor

    return _cached(LocalExecutor(spec, own), folder, mode, when_full)


def check_executor(spec: str, config: Mapping[str, Any] | None = None) -> None:
    """Find out what can be known wrong with a spec and its config without opening anything; see `make_executor`.

    Raises:
        UnknownExecutor: unknown scheme, or unknown profile of a simulated executor.
        ConfigError: an unusable config.
    """
    own = {name: value for name, value in (config or {}).items() if name not in ("cache_folder", "cache", "cache_full")}
    if isinstance(spec, str) and is_own(spec):
        return check_own(spec, own)
    scheme, _, rest = spec.partition(":") if isinstance(spec, str) else ("", "", "")
    if scheme not in BUILT_IN or not rest or (scheme == "record" and "@" not in rest):
        more = "".join(f" '{known}:...'," for known in registered_schemes())
        raise UnknownExecutor(
            f"expected 'sim:<profile>', 'openai:<model>', 'local:<name or gguf file>',{more} "
            f"'record:<file>@<executor>', 'replay:<file>' or 'file.py:Class'; got {spec!r}"
            f"{near(scheme, (*BUILT_IN, *registered_schemes()))}"
        )
    if scheme == "record":
        check_executor(rest.partition("@")[2], config)
    elif scheme == "sim":
        from w4s_gym.executors.simulation.profile import load_profile

        load_profile(rest)
        refuse_unknown(own, (), f"executor config of {spec}", "fields besides cache_folder, cache and cache_full")
    elif scheme == "openai":
        from w4s_gym.executors.config import EndpointConfig

        from_fields(EndpointConfig(), own, "executor config")
    elif scheme == "local":
        from w4s_gym.executors.local import LocalConfig

        from_fields(LocalConfig(), own, "executor config")


def _cached(endpoint: Endpoint, folder: str | None, mode: CacheMode, when_full: WhenFull) -> Executor:
    if mode == "off":
        return endpoint
    if folder is None:
        raise ConfigError(f"executor config: cache {mode!r} needs a cache_folder")
    from w4s_gym.executors.cache import CachedExecutor

    return CachedExecutor(endpoint, folder, mode, when_full)
