"""Which class samples from an `hf:` policy."""

from __future__ import annotations

import importlib.util
import warnings

from w4s_gym.algos.policies.devices import pick_device
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.errors import ConfigError
from w4s_gym.models import find_model, is_gguf


def make_hf_policy(source: str, name: str, config: HFConfig) -> HFPolicy:
    """Make the policy on `source` that is sampled as `config.sampler` says.

    Args:
        source: known name or path of a GGUF file; name or folder of a model of transformers.
        name: name in tables.
        config: options.

    Raises:
        UnknownModel: the GGUF file is missing or not the official one.
        ConfigError: the sampler does not fit the model or the options, or the model cannot be loaded.
    """
    sampler = config.sampler
    if sampler.startswith(("http://", "https://")):
        from w4s_gym.algos.policies.vllm import VLLMPolicy

        return VLLMPolicy(_readable(source), name, config, sampler)
    if sampler not in ("auto", "transformers", "llama.cpp"):
        raise ConfigError(
            f"expected sampler 'auto', 'transformers', 'llama.cpp' or the base URL of a vLLM server; got {sampler!r}"
        )
    if sampler == "llama.cpp" and not is_gguf(source):
        raise ConfigError(f"{name}: sampler 'llama.cpp' needs a GGUF file as the base model; got {source!r}")
    if sampler == "llama.cpp" or (sampler == "auto" and _suits_llama_cpp(source, config)):
        from w4s_gym.algos.policies.llama_cpp import LlamaCppPolicy

        return LlamaCppPolicy(find_model(source), name, config)
    return HFPolicy(_readable(source), name, config)


def _readable(source: str) -> str:
    """Return what transformers can load."""
    if not is_gguf(source):
        return source
    from w4s_gym.algos.policies.gguf import dense_model

    return str(dense_model(find_model(source)))


def _suits_llama_cpp(source: str, config: HFConfig) -> bool:
    if not is_gguf(source) or not config.lora_rank or pick_device(config.device) != "cpu":
        return False
    missing = [name for name in ("xllamacpp", "openai", "aiohttp") if importlib.util.find_spec(name) is None]
    if missing:
        warnings.warn(
            f"hf:{source} is sampled by transformers, several times slower than by llama.cpp, which needs "
            f"{', '.join(missing)}: pip install 'w4s-gym[local]'",
            stacklevel=2,
        )
    return not missing
