"""Executors of users: a class in a file, `file.py:Class`, or what stands for a scheme, `<scheme>:<rest>`.

A scheme is made known by `register_executor`, or by an entry point of the group `w4s_gym.executors`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from w4s_gym.errors import ConfigError
from w4s_gym.executors.base import Executor
from w4s_gym.options import refuse_unknown
from w4s_gym.plugins import announced, is_plugin, load_announced, load_plugin

Factory = Callable[..., Executor]
"""Called as `factory(rest, **config)` for `<scheme>:<rest>`; a class of a file as `Class(**config)`."""

BUILT_IN = ("sim", "openai", "local", "record", "replay")
"""Schemes that have a meaning of their own."""

_REGISTERED: dict[str, Factory] = {}


def register_executor(scheme: str, factory: Factory) -> None:
    """Make `<scheme>:<rest>` known as an executor, in this process.

    Worker processes of a comparison import the main script again: register at its top level. An executor in a file
    needs no registration: `file.py:Class` is found by every process.

    Args:
        scheme: letters, digits, `_` and `-`.
        factory: called as `factory(rest, **config)` with the options of `executor_config`.

    Raises:
        ConfigError: the scheme cannot be used.

    Example:
        >>> from w4s_gym.executors import make_executor
        >>> from w4s_gym.executors.sim import SimulatedExecutor
        >>> register_executor("cheap", lambda rest: SimulatedExecutor(f"sim:{rest}"))
        >>> make_executor("cheap:gpt-3.5-turbo").simulated
        True
    """
    if not scheme.replace("-", "").isidentifier() or scheme in BUILT_IN:
        raise ConfigError(f"expected a scheme of letters, digits, _ and -, none of {BUILT_IN}; got {scheme!r}")
    _REGISTERED[scheme] = factory


def registered_schemes() -> tuple[str, ...]:
    """Schemes that `register_executor` made known, and those that installed packages announce."""
    return (*_REGISTERED, *(scheme for scheme in announced("executors") if scheme not in BUILT_IN))


def is_own(spec: str) -> bool:
    """Whether a spec names an executor of the user's."""
    return is_plugin(spec) or spec.partition(":")[0] in registered_schemes()


def check_own(spec: str, config: Mapping[str, Any]) -> None:
    """Find out what can be known wrong without making the executor; see `make_own`."""
    factory, arguments = _factory(spec)
    parameters = list(inspect.signature(factory).parameters.values())[len(arguments) :]
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        refuse_unknown(config, [p.name for p in parameters], f"executor config of {spec}")


def make_own(spec: str, config: Mapping[str, Any]) -> Executor:
    """Make an executor of the user's.

    Raises:
        ConfigError: no such file or class, unknown options, or no executor.
    """
    check_own(spec, config)
    factory, arguments = _factory(spec)
    made = factory(*arguments, **config)
    if not isinstance(made, Executor):
        lacks = [name for name in ("name", "simulated", "complete", "close") if not hasattr(made, name)]
        raise ConfigError(f"expected {spec} to be an Executor; it has no {', '.join(lacks)}")
    return made


def _factory(spec: str) -> tuple[Factory, tuple[str, ...]]:
    if not is_plugin(spec):
        scheme, _, rest = spec.partition(":")
        return _REGISTERED.get(scheme) or load_announced("executors", scheme), (rest,)
    found = load_plugin(spec, "an executor")
    if not callable(found):
        raise ConfigError(f"expected {spec} to be a class or function that makes an Executor; got {found!r:.80}")
    return found, ()
