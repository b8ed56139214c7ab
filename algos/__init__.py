"""Policies and algorithms."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

from w4s_gym.algos.policies.base import Policy
from w4s_gym.errors import ConfigError
from w4s_gym.options import from_fields, near, refuse_unknown
from w4s_gym.paths import user_path
from w4s_gym.plugins import announced, is_plugin, load_announced, load_plugin

__all__ = ["make_policy"]

BUILT_IN = ("tiny", "hf", "openai", "local")
"""Schemes of policies that have a meaning of their own."""


def make_policy(spec: str, **options: Any) -> Policy:
    """Make a policy from a string.

    Args:
        spec: `tiny` (the embedded meta-agent, built on first use), `hf:<name or folder>` (a causal language model of
            transformers), `hf:<known name or GGUF file>` (the de-quantised weights of a file, see `w4s_gym.models`),
            `openai:<model>` or `local:<model>` (frozen, behind an endpoint), or a policy of yours: `file.py:Class`,
            or `<scheme>:<rest>` of an entry point of the group `w4s_gym.policies`.
        **options: fields of `HFConfig` or, for endpoints, of `OpenAIConfig`; those of yours are called as
            `Class(**options)` and `entry_point(rest, **options)`. A folder that a trained policy was
            saved in brings its own, and with them the prompt style; those that are given here hold.

    Raises:
        ConfigError: unknown scheme or option, or the model cannot be loaded.

    Example:
        >>> make_policy("tinny")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        w4s_gym.errors.ConfigError: expected a policy `tiny`, ... got 'tinny'; did you mean 'tiny'?
    """
    scheme, _, name = spec.partition(":")
    if is_plugin(spec):
        return _own(spec, load_plugin(spec, "a policy"), (), options)
    if scheme not in BUILT_IN and scheme in announced("policies"):
        return _own(spec, load_announced("policies", scheme), (name,), options)
    try:
        if spec == "tiny":
            from w4s_gym.algos.policies.tiny.policy import SAMPLING, TinyPolicy

            return TinyPolicy(from_fields(SAMPLING, options, f"policy {spec}"))
        if scheme == "hf" and name:
            from w4s_gym.algos.policies.hf import HFConfig
            from w4s_gym.algos.policies.samplers import make_hf_policy
            from w4s_gym.algos.policies.settings import read_settings

            _, own = read_settings(user_path(name)) or (False, {})
            return make_hf_policy(name, spec, from_fields(HFConfig(), {**own, **options}, f"policy {spec}"))
        if scheme in ("openai", "local") and name:
            from w4s_gym.algos.policies.endpoint import OpenAIConfig, OpenAIPolicy

            return OpenAIPolicy(spec, from_fields(OpenAIConfig(), options, f"policy {spec}"))
    except ModuleNotFoundError as error:
        extra = "train" if scheme in ("tiny", "hf") else scheme
        raise ConfigError(
            f"policy {spec} needs the package {error.name}; install the extra: pip install 'w4s-gym[{extra}]'"
        ) from error
    known = (*BUILT_IN, *announced("policies"))
    raise ConfigError(
        f"expected a policy `tiny`, `hf:<name or folder>`, `openai:<model>`, `local:<model>` or `file.py:Class`; "
        f"got {spec!r}{near(scheme, known)}"
    )


def _own(spec: str, factory: Any, arguments: tuple[str, ...], options: Mapping[str, Any]) -> Policy:
    """Make a policy of the user's.

    Raises:
        ConfigError: nothing that can be called, unknown options, or no policy.
    """
    if not callable(factory):
        raise ConfigError(f"expected {spec} to be a class or function that makes a policy; got {factory!r:.80}")
    parameters = list(inspect.signature(factory).parameters.values())[len(arguments) :]
    if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        refuse_unknown(options, [p.name for p in parameters], f"policy {spec}", "options")
    made = factory(*arguments, **options)
    lacks = [name for name in ("name", "prompt_style", "sample") if not hasattr(made, name)]
    if lacks:
        raise ConfigError(f"expected {spec} to be a Policy; it has no {', '.join(lacks)}")
    return cast(Policy, made)
