"""Policies and algorithms."""

from __future__ import annotations

from typing import Any

from w4s_gym.algos.policies.base import Policy
from w4s_gym.errors import ConfigError
from w4s_gym.options import from_fields
from w4s_gym.paths import user_path

__all__ = ["make_policy"]


def make_policy(spec: str, **options: Any) -> Policy:
    """Make a policy from a string.

    Args:
        spec: `tiny` (the embedded meta-agent, built on first use), `hf:<name or folder>` (a causal language model of
            transformers), `hf:<known name or GGUF file>` (the de-quantised weights of a file, see `w4s_gym.models`),
            `openai:<model>` or `local:<model>` (frozen, behind an endpoint).
        **options: fields of `HFConfig` or, for the last two, of `OpenAIConfig`. A folder that a trained policy was
            saved in brings its own, and with them the prompt style; those that are given here hold.

    Raises:
        ConfigError: unknown scheme or option, or the model cannot be loaded.

    Example:
        >>> make_policy("tinny")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        w4s_gym.errors.ConfigError: expected a policy `tiny`, ... got 'tinny'
    """
    scheme, _, name = spec.partition(":")
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
    raise ConfigError(
        f"expected a policy `tiny`, `hf:<name or folder>`, `openai:<model>` or `local:<model>`; got {spec!r}"
    )
