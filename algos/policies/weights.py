"""Weights of causal language models of transformers, and adapters for them: taken up whole, or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from w4s_gym.errors import ConfigError

ADAPTER_CONFIG = "adapter_config.json"
"""Marks a folder of adapters."""
_ADAPTERS = "adapter_model.safetensors"
_BASE_FILE = "base_model.json"
"""Beside saved adapters: which weights they belong to."""
_MEANING = ("peft_type", "r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern")
"""Settings that change what the values of adapters mean."""


def read_model(place: str, dtype: torch.dtype) -> Any:
    """Load a model by name or folder.

    Raises:
        ConfigError: there is none, or it lacks weights, which transformers would fill with random numbers.
    """
    try:
        with quiet_bars():
            model, found = AutoModelForCausalLM.from_pretrained(place, dtype=dtype, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:  # the last of torch: shapes that do not fit
        raise ConfigError(
            f"expected a causal language model of transformers by name or folder; could not load {place!r}: {error}"
        ) from error
    lacking = sorted(found["missing_keys"])
    if lacking:
        raise ConfigError(f"expected all weights of the model in {place!r}; {_some(lacking)} are missing")
    return model


def copy_weights(model: Any, folder: Path) -> None:
    """Copy what `save_pretrained` wrote into a model; optimizers may keep pointing at its parameters.

    Raises:
        ConfigError: the folder holds no weights, or weights of another model.
    """
    if not any(folder.glob("*.safetensors")):
        raise ConfigError(f"expected weights that this policy saved; there is no file {folder / 'model.safetensors'}")
    # Read by transformers: what a family calls its weights on disk is not always what it calls them in memory.
    fresh = read_model(str(folder), model.dtype).state_dict()
    present = model.state_dict()
    _check_shapes(folder, present, fresh)
    with torch.no_grad():
        for name, values in present.items():
            values.copy_(fresh[name])


def base_of(folder: Path) -> str:
    """Return the name or folder of the model that adapters belong to.

    Raises:
        ConfigError: the adapters do not say it.
    """
    base = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    if not base:
        raise ConfigError(f"{folder / ADAPTER_CONFIG}: expected base_model_name_or_path, which names the base model")
    return str(base)


def write_base(folder: Path, name: str, weights: str) -> None:
    """Write down beside adapters which model they belong to: the policy's name and the hash of its weights."""
    (folder / _BASE_FILE).write_text(json.dumps({"name": name, "weights": weights}), encoding="utf-8")


def check_base(folder: Path, name: str, weights: str) -> None:
    """Check that adapters belong to the model with this hash of weights; those that do not say it are believed.

    Raises:
        ConfigError: they belong to another model.
    """
    if not (folder / _BASE_FILE).exists():
        return
    base = json.loads((folder / _BASE_FILE).read_text(encoding="utf-8"))
    if base["weights"] != weights:
        raise ConfigError(
            f"{folder / _ADAPTERS} holds adapters of another model: expected those of {name}, got those of "
            f"{base['name']}"
        )


def copy_adapters(model: Any, folder: Path) -> None:
    """Copy saved adapters into a model of peft.

    Raises:
        ConfigError: the folder holds none, or they do not fit the model's: other layers, another rank or scale.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    file = folder / _ADAPTERS
    if not file.exists():
        raise ConfigError(f"expected adapters that this policy saved; there is no file {file}")
    if (folder / ADAPTER_CONFIG).exists():
        saved = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        own = json.loads(json.dumps(model.peft_config["default"].to_dict(), default=str))
        other = [f"{k}={saved[k]!r} instead of {own[k]!r}" for k in _MEANING if k in saved and saved[k] != own[k]]
        if other:
            raise ConfigError(
                f"{file} holds adapters that were trained with {', '.join(other)}, so they are those of another model; "
                "set lora_rank and lora_alpha as they were"
            )
    weights = load_file(file)
    _check_shapes(file, get_peft_model_state_dict(model), weights)
    set_peft_model_state_dict(model, weights)


def merged(base: Any, folder: Path) -> Any:
    """Return the base model with saved adapters added to its weights, all of which can be trained.

    Raises:
        ConfigError: the adapters do not fit the model.
    """
    from peft import PeftConfig, get_peft_model

    model: Any = get_peft_model(base, PeftConfig.from_pretrained(str(folder)))
    copy_adapters(model, folder)
    return model.merge_and_unload().requires_grad_(True)


def weights_hash(model: Any) -> str:
    """Hash of some weights of each layer: tells base models apart, whatever their folder and precision."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        digest.update(f"{name} {tuple(parameter.shape)}".encode())
        some = parameter.detach().flatten()[:64].to("cpu", torch.bfloat16)
        digest.update(some.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def quiet_bars() -> Iterator[None]:
    """Hide the progress bars of transformers."""
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()


def _check_shapes(where: Path, present: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> None:
    lacking, foreign = present.keys() - found.keys(), found.keys() - present.keys()
    other = [name for name in present.keys() & found.keys() if present[name].shape != found[name].shape]
    faults = [
        f"{_some(names)} {what}"
        for names, what in ((lacking, "missing"), (foreign, "unknown"), (other, "of another shape"))
        if names
    ]
    if faults:
        raise ConfigError(f"{where} holds weights of another model: {'; '.join(faults)}")


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:3]) + (f" and {len(ordered) - 3} more" if len(ordered) > 3 else "")
