"""Builds the tiny meta-agent once per machine: trains it on the grammar's workflows and keeps it in a cache folder."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from w4s_gym.algos.cache import make_once
from w4s_gym.algos.regression import Codec, RegressionConfig, RegressionTrainer
from w4s_gym.algos.tiny.corpus import draw_rows
from w4s_gym.algos.tiny.model import make_model, train_tokenizer

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
    lr: float = 2e-3
    """Peak learning rate; it rises over the first tenth and then falls linearly to zero."""
    seed: int = 0


def tiny_folder(config: WarmStartConfig | None = None, progress: bool = True) -> Path:
    """Return the folder of the tiny meta-agent, building it first if there is none (one to two minutes).

    Args:
        config: how to make it.
        progress: whether to show a progress bar on the terminal.
    """
    chosen = config or WarmStartConfig()
    return make_once(f"tiny-{_fingerprint(chosen)}", lambda folder: build_tiny(folder, chosen, progress))


def build_tiny(folder: Path, config: WarmStartConfig, progress: bool = False) -> dict[str, float]:
    """Train the tiny meta-agent and write it to `folder`; returns the trainer's figures."""
    rows = draw_rows(config.rows, config.seed)
    texts = [
        text for row in rows[: config.tokenizer_rows] for text in (*(m["content"] for m in row.messages), row.action)
    ]
    tokenizer = train_tokenizer(texts)
    model = make_model(tokenizer, config.seed)
    trainer = RegressionTrainer(
        model,
        Codec(tokenizer, tokenizer.eos_token_id),
        RegressionConfig(lr=config.lr, rows_per_step=config.rows_per_step),
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
    try:
        with Progress(*columns, disable=not progress) as bar:
            task = bar.add_task("warm start of the tiny meta-agent (once)", loss="", total=None)
            figures = trainer.fit(
                rows,
                config.seed,
                lr_scale=lambda done: min(1.0, 0.05 + 10 * done) * (1 - done),
                on_step=lambda step, total, loss: bar.update(
                    task, completed=step, total=total, loss=f"loss {loss:.2f}"
                ),
            )
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return figures


def _fingerprint(config: WarmStartConfig) -> str:
    """Key of everything that the weights depend on: settings, a sample of the corpus, sources, library versions."""
    here = Path(__file__).parent
    sources = [here / "model.py", here / "warmstart.py", here.parent / "regression.py"]
    digest = hashlib.sha256(repr(asdict(config)).encode())
    for row in draw_rows(100, config.seed):
        digest.update(repr((row.messages, row.action)).encode())
    for source in sources:
        digest.update(source.read_bytes())
    for package in ("torch", "transformers", "tokenizers"):
        digest.update(version(package).encode())
    return digest.hexdigest()[:16]
