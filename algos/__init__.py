"""Policies and algorithms."""

from __future__ import annotations

from typing import Any

from w4s_gym.algos.policies.base import Policy
from w4s_gym.errors import ConfigError

__all__ = ["make_policy"]

_TINY_OPTIONS = {
    "prompt_style": "compact",
    "temperature": 0.85,  # further below 1, regression on its own samples narrows it down before rewards can tell
    "max_new_tokens": 320,
    "learning_rate": 4e-4,
    "epochs": 20,
    "thin": True,
    "warmup_steps": 20,
    "tau": 0.2,  # with a tenth of winners and tau 0.4, half of an update imitates texts that earned nothing
}
"""Options of the tiny meta-agent that differ from the defaults of `HFConfig`."""


def make_policy(spec: str, **options: Any) -> Policy:
    """Make a policy from a string.

    Args:
        spec: `tiny` (the embedded meta-agent, built on first use), `hf:<name or folder>` (a causal language model of
            transformers), `hf:<known name or GGUF file>` (the de-quantised weights of a file, see `w4s_gym.models`),
            `openai:<model>` or `local:<model>` (frozen, behind an endpoint).
        **options: fields of `HFConfig` or, for the last two, of `OpenAIConfig`.

    Raises:
        ConfigError: unknown scheme or option, or the model cannot be loaded.
    """
    scheme, _, name = spec.partition(":")
    try:
        if spec == "tiny":
            from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
            from w4s_gym.algos.policies.tiny.warmstart import tiny_folder

            return HFPolicy(tiny_folder(), spec, HFConfig(**{**_TINY_OPTIONS, **options}))
        if scheme == "hf" and name:
            from w4s_gym.algos.policies.hf import HFConfig
            from w4s_gym.algos.policies.samplers import make_hf_policy

            return make_hf_policy(name, spec, HFConfig(**options))
        if scheme in ("openai", "local") and name:
            from w4s_gym.algos.policies.endpoint import OpenAIConfig, OpenAIPolicy

            return OpenAIPolicy(spec, OpenAIConfig(**options))
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ConfigError(f"policy {spec}: unknown option: {error}") from error
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"policy {spec} needs the package {error.name}; install the extra: pip install 'w4s-gym[train]'"
            if scheme in ("tiny", "hf")
            else f"policy {spec} needs the package {error.name}; install the extra: pip install 'w4s-gym[{scheme}]'"
        ) from error
    raise ConfigError(
        f"expected a policy `tiny`, `hf:<name or folder>`, `openai:<model>` or `local:<model>`; got {spec!r}"
    )
