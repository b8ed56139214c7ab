"""GGUF files made readable, and trainable, for transformers: de-quantised once."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from w4s_gym.algos.policies.model_cache import make_once
from w4s_gym.errors import ConfigError
from w4s_gym.models import file_hash


def dense_model(gguf: Path) -> Path:
    """Return a folder with the dense bfloat16 weights and the tokenizer of a GGUF file.

    The first call de-quantises the file (a minute per gigabyte on a quiet machine), in one process while others wait;
    the result is kept in the cache.

    Raises:
        ConfigError: the package `gguf`, which reads the file, is not installed; or transformers cannot read the file.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("expected the package gguf, which reads GGUF files; install it with: pip install gguf")
    key = f"{gguf.stem}-{file_hash(gguf)[:12]}-{version('transformers')}"
    return make_once(key, lambda folder: _convert(gguf, folder))


def _convert(source: Path, folder: Path) -> None:
    try:
        quantised = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.bfloat16)
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise ConfigError(
            f"expected a whole GGUF file of an architecture that transformers knows; could not read {source}: {error!r}"
        ) from error
    # transformers refuses to save or train a model that it has marked as quantised: a fresh one gets its weights.
    config = quantised.config
    del config.quantization_config
    dense = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    dense.load_state_dict(quantised.state_dict())
    dense.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
