"""LoRA adapters of peft written as the GGUF adapter that llama.cpp reads.

A layer's two matrices keep their values, in float32: `lora_a` (rank x inputs) and `lora_b` (outputs x rank). Names are
those of llama.cpp. Files of llama-type models hold the rows of the query and key projections in another order than
transformers does (rotary embeddings of neighbouring instead of distant pairs), so the rows of `lora_b` follow them.
Which order a file has is found by comparing weights, not by the architecture's name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from w4s_gym.errors import ConfigError

_ROTATED = ("attn_q", "attn_k")
_TOLERANCE = 0.02
"""Largest relative difference (root mean square) of weights that are the same but for rounding to bfloat16."""


def adapters_hash(model: Any) -> str:
    """Return a hash of the present values of all adapters, 64 hex digits."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            digest.update(name.encode())
            digest.update(parameter.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class BaseFile:
    """What must be known of a base model's GGUF file to write adapters for it."""

    architecture: str
    blocks: int
    permuted: bool
    """Whether the rows of the query and key projections stand in another order than in transformers."""

    @classmethod
    def read(cls, gguf: Path, model: Any) -> BaseFile:
        """Read the file and compare the first block's query projection with that of the model.

        Args:
            gguf: the file.
            model: the peft model that will be trained; its base must hold the file's weights.

        Raises:
            ConfigError: the file holds another model.
        """
        from gguf import GGUFReader
        from gguf.quants import dequantize

        reader = GGUFReader(gguf)
        architecture = str(reader.fields["general.architecture"].contents())
        blocks = int(reader.fields[f"{architecture}.block_count"].contents())
        names = _names(architecture, blocks)
        layers = {names.get_name(name): layer for name, layer in _linears(model)}
        quantised = {t.name: t for t in reader.tensors if t.name in ("blk.0.attn_q.weight", "blk.0.attn_k.weight")}
        permuted = set()
        for name in _ROTATED:
            layer, tensor = layers.get(f"blk.0.{name}"), quantised.get(f"blk.0.{name}.weight")
            if layer is None or tensor is None:
                raise ConfigError(f"{gguf}: expected a tensor blk.0.{name}.weight, as in the model that is trained")
            in_file = dequantize(tensor.data, tensor.tensor_type)
            here = layer.weight.detach().float().cpu().numpy()
            heads = _heads(model, name)
            if _same(in_file, here):
                permuted.add(False)
            elif here.shape == in_file.shape and _same(in_file, permute(here, heads)):
                permuted.add(True)
            else:
                raise ConfigError(f"{gguf} and the model that is trained hold different weights in blk.0.{name}.weight")
        return cls(architecture, blocks, permuted.pop())


def write_adapter(model: Any, base: BaseFile, target: Path) -> None:
    """Write the adapters of a peft model for its base's GGUF file.

    Raises:
        ConfigError: an adapter lies on a layer that llama.cpp does not know.
    """
    from gguf import GGUFWriter, Keys

    names = _names(base.architecture, base.blocks)
    alphas = {config.lora_alpha for config in model.peft_config.values()}
    writer = GGUFWriter(target, base.architecture)
    writer.add_type("adapter")
    writer.add_string(Keys.Adapter.TYPE, "lora")
    writer.add_float32(Keys.Adapter.LORA_ALPHA, float(alphas.pop()))
    for name, layer in _linears(model):
        if not hasattr(layer, "lora_A"):
            continue
        known = names.get_name(name)
        if known is None:
            raise ConfigError(
                f"llama.cpp knows no counterpart of the layer {name}, which has an adapter; name others in lora_targets"
            )
        a, b = (_values(side["default"].weight) for side in (layer.lora_A, layer.lora_B))
        if base.permuted and known.endswith(_ROTATED):
            b = permute(b, _heads(model, known))
        writer.add_tensor(f"{known}.weight.lora_a", a)
        writer.add_tensor(f"{known}.weight.lora_b", b)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Bring the rows of a query or key projection from transformers' order into that of llama-type files."""
    rows = weight.shape[0]
    split = weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(weight.shape))


def _names(architecture: str, blocks: int) -> Any:
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    for number, name in MODEL_ARCH_NAMES.items():
        if name == architecture:
            return get_tensor_name_map(number, blocks)
    raise ConfigError(f"expected an architecture that the package gguf knows; got {architecture!r}")


def _linears(model: Any) -> list[tuple[str, Any]]:
    """Linear layers and those with adapters by their names in transformers."""
    inner = model.get_base_model()
    found = [(name, layer) for name, layer in inner.named_modules() if hasattr(layer, "lora_A")]
    inside = tuple(f"{name}." for name, _ in found)
    plain = [
        (name, layer)
        for name, layer in inner.named_modules()
        if isinstance(layer, torch.nn.Linear) and not (inside and name.startswith(inside))
    ]
    return found + plain


def _heads(model: Any, name: str) -> int:
    config = model.get_base_model().config.get_text_config()
    return int(config.num_attention_heads if name.endswith("attn_q") else config.num_key_value_heads)


def _values(parameter: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(parameter.detach().float().cpu().numpy())


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.shape != other.shape:
        return False
    return float(np.linalg.norm(one - other)) <= _TOLERANCE * float(np.linalg.norm(one))
