"""Reward-weighted regression on chat rows: loss = mean over rows of weight_i x mean token cross-entropy of target_i.

Only the target's tokens carry loss. Rows are batched with left padding to the longest of the batch, similar lengths
together, so that every target ends at the right edge and logits are computed for the targets' tail only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import torch

from w4s_gym.algos.codec import Codec, EncodedRow, WeightedText
from w4s_gym.algos.policies.devices import has_fast_bfloat16
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.errors import ConfigError

IGNORED = -100
"""Label of tokens without loss (prompt and padding)."""


@dataclass(frozen=True)
class RegressionConfig:
    """How to fit weighted rows."""

    learning_rate: float = 2e-5
    """Of AdamW."""
    epochs: int = 1
    """Passes over the rows of one call of `fit`."""
    rows_per_step: int = 16
    """Rows behind one optimizer step."""
    tokens_per_pass: int = 4096
    """Padded tokens in one forward pass; a step is split into as many passes as it needs, with the same result."""
    max_tokens: int = 8192
    """Longer rows are left out, counted and reported, never cut."""
    thin: bool = False
    """A pass takes rows that are lighter than the mean with probability weight / mean only, then with the mean weight:
    in expectation the same gradient, for a fraction of the work where few rows carry most of the weight."""
    weight_decay: float = 0.0
    warmup_steps: int = 0
    """Optimizer steps, over all calls of `fit`, in which the learning rate rises linearly. AdamW's first steps move
    every weight by about the learning rate, however small its gradient; a small model may forget how to write."""
    clip: float = 1.0
    """Largest gradient norm."""
    bfloat16: bool | None = None
    """Autocast to bfloat16; None means where the device computes with it natively."""


class RegressionTrainer:
    """Fits a causal language model to weighted rows; keeps its AdamW state between calls of `fit`."""

    def __init__(self, model: torch.nn.Module, codec: Codec, config: RegressionConfig) -> None:
        """Prepare to train the parameters of `model` that require a gradient.

        Raises:
            ConfigError: no parameter of the model can be trained, or a setting cannot be used.
        """
        if config.rows_per_step < 1 or config.epochs < 1 or config.tokens_per_pass < 1:
            raise ConfigError(f"expected rows_per_step, epochs and tokens_per_pass of at least 1; got {config}")
        self.model = model
        self.codec = codec
        self.config = config
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        if not self._parameters:
            raise ConfigError("expected a model with trainable parameters; all of them are frozen")
        self._optimizer = torch.optim.AdamW(self._parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self._device = self._parameters[0].device
        self._autocast = has_fast_bfloat16(self._device) if config.bfloat16 is None else config.bfloat16
        self._tail_logits = "logits_to_keep" in inspect.signature(_innermost(model).forward).parameters

    def fit(
        self,
        rows: Iterable[WeightedText],
        seed: int,
        lr_scale: Callable[[float], float] = lambda progress: 1.0,
        on_step: Callable[[int, int, float], None] | None = None,
    ) -> dict[str, float]:
        """Train on rows.

        Args:
            rows: what to fit. Weights are divided by their mean, so that learning rate and `clip` mean the same
                whatever their scale: with weights of 148 and 1, clipping would else shorten the steps of batches that
                hold a winner, and only theirs.
            seed: fixes the order of the batches.
            lr_scale: factor of the learning rate as a function of the progress in [0, 1).
            on_step: called after each optimizer step with (step, number of steps, loss).

        Returns:
            Figures: `loss` (mean over steps), `steps`, `rows` (trained on), `rows_too_long` (left out), `rows_passed`
            (rows over all passes; with `thin` fewer than `rows` x `epochs`), `tokens` (prompt and target tokens passed,
            without padding), `padding` (padded share of all tokens passed).
        """
        encoded = [self.codec.encode(row) for row in rows]
        fitting = [row for row in encoded if row.length <= self.config.max_tokens]
        figures = {"rows": float(len(fitting)), "rows_too_long": float(len(encoded) - len(fitting))}
        if not any(row.weight for row in fitting):
            return {"loss": 0.0, "steps": 0.0, "rows_passed": 0.0, "tokens": 0.0, "padding": 0.0, **figures}
        fitting = _with_mean_weight_1(fitting)
        batches = [batch for epoch in range(self.config.epochs) for batch in self._pass(fitting, seed, epoch)]
        self.model.train()
        losses: list[float] = []
        padded = 0
        for done, batch in enumerate(batches):
            rate = self.config.learning_rate * lr_scale(done / len(batches)) * self._warmth()
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            loss, size = self._step(batch)
            losses.append(loss)
            padded += size
            if on_step is not None:
                on_step(len(losses), len(batches), loss)
        tokens = sum(row.length for batch in batches for row in batch)
        return {
            "loss": sum(losses) / len(losses),
            "steps": float(len(losses)),
            "rows_passed": float(sum(map(len, batches))),
            "tokens": float(tokens),
            "padding": 1 - tokens / padded,
            **figures,
        }

    def loss(self, rows: Sequence[EncodedRow]) -> torch.Tensor:
        """Return the mean over rows of weight x mean token cross-entropy of the target, in one forward pass."""
        return self._weighted_sum(rows) / len(rows)

    def save(self, path: Path) -> None:
        """Write the optimizer's state; the weights belong to the policy."""
        torch.save(self._optimizer.state_dict(), path)

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        self._optimizer.load_state_dict(torch.load(path, map_location=self._device, weights_only=True))

    def _pass(self, rows: Sequence[EncodedRow], seed: int, epoch: int) -> list[list[EncodedRow]]:
        """Return the batches of one pass over rows whose weights have mean 1."""
        random = Random(derive_seed(seed, epoch))
        if self.config.thin:
            taken = [replace(row, weight=max(1.0, row.weight)) for row in rows if random.random() < row.weight]
            rows = _with_mean_weight_1(taken)
        return _grouped_batches(rows, self.config.rows_per_step, random)

    def _warmth(self) -> float:
        """Factor of the learning rate of the next step; AdamW's own count of steps survives `save` and `load`."""
        if not self.config.warmup_steps:
            return 1.0
        done = max((int(state["step"]) for state in self._optimizer.state.values()), default=0)
        return min(1.0, (done + 1) / self.config.warmup_steps)

    def _step(self, batch: Sequence[EncodedRow]) -> tuple[float, int]:
        """One optimizer step; returns the loss and the number of padded tokens passed."""
        self._optimizer.zero_grad(set_to_none=True)
        total, size = 0.0, 0
        for part in _passes(batch, self.config.tokens_per_pass):
            loss = self._weighted_sum(part) / len(batch)
            loss.backward()
            total += loss.item()
            size += len(part) * max(row.length for row in part)
        torch.nn.utils.clip_grad_norm_(self._parameters, self.config.clip)
        self._optimizer.step()
        return total, size

    def _weighted_sum(self, rows: Sequence[EncodedRow]) -> torch.Tensor:
        width = max(row.length for row in rows)
        tail = max(len(row.target) for row in rows)
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), width, dtype=torch.long)
        labels = torch.full((len(rows), tail), IGNORED)
        for i, row in enumerate(rows):
            ids[i, width - row.length :] = torch.tensor(row.prompt + row.target)
            mask[i, width - row.length :] = 1
            labels[i, tail - len(row.target) :] = torch.tensor(row.target)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        options: dict[str, Any] = {"logits_to_keep": tail + 1} if self._tail_logits else {}
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._autocast):
            logits = self.model(
                input_ids=ids.to(self._device),
                attention_mask=mask.to(self._device),
                position_ids=positions.to(self._device),
                use_cache=False,
                **options,
            ).logits
        # The logits at position t predict the token at t + 1: the last `tail` targets come from one position earlier.
        logits = logits[:, -tail - 1 : -1].float()
        losses = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), labels.to(self._device), ignore_index=IGNORED, reduction="none"
        )
        lengths = torch.tensor([len(row.target) for row in rows], device=self._device)
        weights = torch.tensor([row.weight for row in rows], device=self._device)
        return (weights * losses.sum(1) / lengths).sum()


def _innermost(model: torch.nn.Module) -> torch.nn.Module:
    """The transformers model inside a peft wrapper, or the model itself."""
    return model.get_base_model() if model.__class__.__module__.startswith("peft.") else model


def _with_mean_weight_1(rows: Sequence[EncodedRow]) -> list[EncodedRow]:
    mean = sum(row.weight for row in rows) / len(rows)
    return [replace(row, weight=row.weight / mean) for row in rows]


def _grouped_batches(rows: Sequence[EncodedRow], size: int, random: Random) -> list[list[EncodedRow]]:
    """Cut rows into batches at random, of similar lengths within a batch.

    Rows are shuffled, sorted by length within blocks of 8 batches, cut, and the batches shuffled.
    """
    order = list(rows)
    random.shuffle(order)
    block = 8 * size
    batches: list[list[EncodedRow]] = []
    for start in range(0, len(order), block):
        part = sorted(order[start : start + block], key=lambda row: row.length)
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    random.shuffle(batches)
    return batches


def _passes(batch: Sequence[EncodedRow], tokens: int) -> list[list[EncodedRow]]:
    """Split a batch into forward passes of at most `tokens` padded tokens (a single longer row is a pass)."""
    parts: list[list[EncodedRow]] = []
    for row in sorted(batch, key=lambda row: row.length):
        if parts and (len(parts[-1]) + 1) * row.length <= tokens:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts
