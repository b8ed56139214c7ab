"""Builds the tiny meta-agent once per machine: trains it on the grammar's workflows and keeps it in a cache folder."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from w4s_gym.algos.codec import Codec
from w4s_gym.algos.policies.model_cache import make_once
from w4s_gym.algos.policies.tiny.corpus import draw_rows
from w4s_gym.algos.policies.tiny.model import VOCABULARY, make_model, model_config, tokenizer_recipe, train_tokenizer
from w4s_gym.algos.regression import Regression, grouped_batches
from w4s_gym.algos.seeding import derive_seed

_RECIPE = 1
"""Number of the training procedure, a part of the cache key. Raise it when the weights change for a reason that the
rest of the key does not see, such as another order of batches or another loss."""
_CORPUS_SAMPLE = 400
"""Rows of the corpus that are part of the cache key: a change of the grammar or of the prompts shows in them."""
_THREADS = 1
"""Fixed, so that sums, and with them the weights, do not depend on the number of cores."""


@dataclass(frozen=True)
class WarmStartConfig:
    """How the tiny meta-agent is made; every value is part of the cache key."""

    rows: int = 4000
    """Rows of the corpus, each trained on once."""
    tokenizer_rows: int = 1500
    """Rows that the tokenizer is trained on."""
    rows_per_step: int = 8
    learning_rate: float = 2e-3
    """Peak learning rate; it rises over the first tenth and then falls linearly to zero."""
    clip: float = 1.0
    """Largest gradient norm."""
    seed: int = 0


def tiny_folder(config: WarmStartConfig | None = None, progress: bool = True) -> Path:
    """Return the folder of the tiny meta-agent, building it first if there is none (one to two minutes).

    Args:
        config: how to make it.
        progress: whether to show a progress bar on the terminal.
    """
    chosen = config or WarmStartConfig()
    return make_once(f"tiny-{_fingerprint(chosen)}", lambda folder: build_tiny(folder, chosen, progress))


def build_tiny(folder: Path, config: WarmStartConfig, progress: bool = False) -> float:
    """Train the tiny meta-agent and write it to `folder`; returns the mean loss over all steps."""
    rows = draw_rows(config.rows, config.seed)
    texts = [
        text for row in rows[: config.tokenizer_rows] for text in (*(m["content"] for m in row.messages), row.action)
    ]
    tokenizer = train_tokenizer(texts)
    model = make_model(tokenizer, config.seed)
    codec = Codec(tokenizer, tokenizer.eos_token_id)
    regression = Regression(model, codec, clip=config.clip, packing=False)
    order = Random(derive_seed(config.seed, 0))
    batches = grouped_batches([codec.encode(row) for row in rows], config.rows_per_step, order)
    losses = []
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[loss]}", markup=False),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, disable=not progress) as bar:
            task = bar.add_task("warm start of the tiny meta-agent (once)", loss="", total=len(batches))
            for done, batch in enumerate(batches):
                loss, _ = regression.step(batch, config.learning_rate * _rate(done / len(batches)))
                losses.append(loss)
                bar.update(task, completed=len(losses), loss=f"loss {loss:.2f}")
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(losses) / len(losses)


def _rate(done: float) -> float:
    """Factor of the peak learning rate after this share of the steps."""
    return min(1.0, 0.05 + 10 * done) * (1 - done)


def _fingerprint(config: WarmStartConfig) -> str:
    """Key of what decides the weights: corpus, tokenizer, architecture, training numbers, library versions.

    The text of source files is no part of it: a comment there changes no weight.
    """
    rows = draw_rows(_CORPUS_SAMPLE, config.seed)
    parts: list[object] = [
        _RECIPE,
        sorted(asdict(config).items()),
        [_rate(i / 20) for i in range(20)],
        [(row.messages, row.action) for row in rows],
        tokenizer_recipe(),
        sorted(model_config(VOCABULARY, eos=0, pad=0).to_diff_dict().items()),
        [version(package) for package in ("torch", "transformers", "tokenizers")],
    ]
    return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()[:16]
