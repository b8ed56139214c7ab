"""Reward-weighted regression on chat rows: loss = mean over rows of weight_i x mean token cross-entropy of target_i.

Only the target's tokens carry loss. Rows are batched with left padding to the longest of the batch, similar lengths
together, so that every target ends at the right edge and logits are computed for the targets' tail only. Rows that
begin alike are packed where the model takes it, so that what they share is computed once (`packing.py`).
`Regression.step` is the one place where RLAO and SFT take a gradient step. Several processes share it (`team.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import torch

from w4s_gym.algos.codec import Codec, EncodedRow
from w4s_gym.algos.packing import Tree
from w4s_gym.algos.policies.devices import has_fast_bfloat16
from w4s_gym.algos.team import find_team
from w4s_gym.algos.tree_attention import TreeAttention, takes_logits_to_keep, takes_position_ids
from w4s_gym.errors import ConfigError

P = TypeVar("P", EncodedRow, Tree)

IGNORED = -100
"""Label of tokens without loss (prompt and padding)."""


class Regression:
    """Loss and AdamW step on weighted rows of a causal language model; the optimizer outlives an update."""

    def __init__(
        self,
        model: torch.nn.Module,
        codec: Codec,
        *,
        clip: float = 1.0,
        weight_decay: float = 0.0,
        tokens_per_pass: int = 4096,
        packing: bool = True,
        bfloat16: bool | None = None,
    ) -> None:
        """Prepare to train the parameters of `model` that require a gradient (arguments: see `RegressionConfig`).

        Raises:
            ConfigError: no parameter of the model can be trained.
        """
        self.model = model
        self.codec = codec
        self._clip = clip
        self._tokens_per_pass = tokens_per_pass
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        if not self._parameters:
            raise ConfigError("expected a model with trainable parameters; all of them are frozen")
        self._optimizer = torch.optim.AdamW(self._parameters, lr=0.0, weight_decay=weight_decay)
        self._device = self._parameters[0].device
        self._autocast = has_fast_bfloat16(self._device) if bfloat16 is None else bfloat16
        self._tail_logits = takes_logits_to_keep(model)
        self._takes_positions = takes_position_ids(model)
        self._packed = TreeAttention(model) if packing else None
        self._team = find_team()
        if self._team is not None:
            self._team.copy(self._parameters)

    @property
    def steps(self) -> int:
        """Optimizer steps so far; AdamW's own count, so it survives `save` and `load`."""
        return max((int(state["step"]) for state in self._optimizer.state.values()), default=0)

    def step(self, batch: Sequence[EncodedRow], learning_rate: float) -> tuple[float, int]:
        """Take one optimizer step; returns the loss and the number of tokens computed (padding too)."""
        if self._team is not None:
            self._team.order(("step", list(batch), learning_rate))
        return self._step(batch, learning_rate)

    def _step(self, batch: Sequence[EncodedRow], learning_rate: float) -> tuple[float, int]:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self.model.train()
        self._optimizer.zero_grad(set_to_none=True)
        total, size = 0.0, 0
        for weighted_sum, computed in self._sums(self._team.share(batch) if self._team else batch):
            loss = weighted_sum / len(batch)
            loss.backward()
            total += loss.item()
            size += computed
        if self._team is not None:
            total, size = self._sum(total, size)
        torch.nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._optimizer.step()
        return total, size

    def _sum(self, total: float, size: int) -> tuple[float, int]:
        """Sum gradients, loss and number of tokens over the processes."""
        assert self._team is not None
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        for parameter, gradient in zip(self._parameters, self._team.sum(gradients), strict=True):
            parameter.grad = gradient
        figures = self._team.sum([torch.tensor([total, size], dtype=torch.float64, device=self._device)])[0]
        return figures[0].item(), int(figures[1].item())

    def follow(self) -> None:
        """Take the steps of the process that plays, until it dismisses this one."""
        assert self._team is not None
        while (order := self._team.order())[0] != "end":
            if order[0] == "step":
                self._step(*order[1:])
            else:
                self._take_up(order[1])

    def dismiss(self) -> None:
        """Let the processes that follow end."""
        if self._team is not None:
            self._team.order(("end",))

    def loss(self, rows: Sequence[EncodedRow]) -> torch.Tensor:
        """Return the mean over rows of weight x mean token cross-entropy of the target, in one pass, unpacked."""
        return self._weighted_sum(rows) / len(rows)

    def save(self, path: Path) -> None:
        """Write the optimizer's state; the weights belong to the policy."""
        torch.save(self._optimizer.state_dict(), path)

    def load(self, path: Path) -> None:
        """Read what `save` wrote; the weights were read before."""
        if self._team is not None:
            self._team.order(("load", path))
        self._take_up(path)

    def _take_up(self, path: Path) -> None:
        if self._team is not None:
            self._team.copy(self._parameters)
        self._optimizer.load_state_dict(torch.load(path, map_location=self._device, weights_only=True))

    def _sums(self, batch: Sequence[EncodedRow]) -> Iterator[tuple[torch.Tensor, int]]:
        """The forward passes of a step: the weighted sum over the rows of each, and its number of tokens."""
        alone = list(batch)
        if self._packed is not None:
            trees, alone = self._packed.share_out(batch, self._tokens_per_pass)
            for part in _passes(trees, self._tokens_per_pass):
                with self._precision():
                    weighted_sum = self._packed.weighted_sum(part)
                yield weighted_sum, len(part) * max(tree.length for tree in part)
        for rows in _passes(alone, self._tokens_per_pass):
            yield self._weighted_sum(rows), len(rows) * max(row.length for row in rows)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._autocast)

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
        if self._takes_positions:
            options["position_ids"] = positions.to(self._device)
        with self._precision():
            logits = self.model(
                input_ids=ids.to(self._device),
                attention_mask=mask.to(self._device),
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


def with_mean_weight_1(rows: Sequence[EncodedRow]) -> list[EncodedRow]:
    """Divide the weights by their mean, so that learning rate and `clip` mean the same whatever their scale.

    With weights of 148 and 1, clipping would else shorten the steps of batches that hold a winner, and only theirs.
    """
    mean = sum(row.weight for row in rows) / len(rows)
    return [replace(row, weight=row.weight / mean) for row in rows]


def grouped_batches(rows: Sequence[EncodedRow], size: int, random: Random) -> list[list[EncodedRow]]:
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


def _passes(batch: Sequence[P], tokens: int) -> list[list[P]]:
    """Split rows or tries into forward passes of at most `tokens` padded tokens (a single longer one is a pass)."""
    parts: list[list[P]] = []
    for row in sorted(batch, key=lambda row: row.length):
        if parts and (len(parts[-1]) + 1) * row.length <= tokens:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts
