"""Weighted cross-entropy of packed rows, for any causal model of transformers that takes a mask of its own making.

Whether a model does is found by trying: its log-probabilities of packed rows must be those of the rows alone. Recurrent
models, attention kernels without a mask, and positions that are not told by `position_ids` fail that trial.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import torch

from w4s_gym.algos.codec import EncodedRow
from w4s_gym.algos.packing import Tree, grow, share_out

_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-4}
"""Largest mean difference of log-probabilities in a trial, by the precision of the weights."""
_COARSE_TOLERANCE = 0.05
"""The same where rounding alone makes a few hundredths."""

_log = logging.getLogger(__name__)


class TreeAttention:
    """Passes tries of rows through a model, once a trial has shown that it takes them."""

    def __init__(self, model: Any) -> None:
        """Wrap a causal language model (or its peft wrapper) and try it on a few short rows."""
        self._model = model
        embeddings = model.get_input_embeddings().weight
        self._device, self._dtype = embeddings.device, embeddings.dtype
        self._vocabulary, self._width = embeddings.shape
        self._some_logits = takes_logits_to_keep(model)
        self._tried = 0
        self.refusal = ""
        """Why the model cannot be trained on packed rows; empty if it can, as far as it was tried."""
        self._try(_probe(self._vocabulary))

    def share_out(self, rows: Sequence[EncodedRow], limit: int) -> tuple[list[Tree], list[EncodedRow]]:
        """Group rows that share enough; see `packing.share_out`. Nothing is grouped for a model that cannot take it.

        A model may attend to the nearest tokens only, so the trial is made again, on two of these rows, whenever a
        trie is twice as long as any that was tried.
        """
        if self.refusal:
            return [], list(rows)
        trees, alone = share_out(rows, limit, self._width)
        longest = max(trees, key=lambda tree: tree.length, default=None)
        if longest is not None and longest.length > 2 * self._tried:
            self._try(longest)
        return ([], list(rows)) if self.refusal else (trees, alone)

    def weighted_sum(self, trees: Sequence[Tree]) -> torch.Tensor:
        """Return the sum over all predictions of weight x cross-entropy, in one forward pass."""
        width = max(tree.length for tree in trees)
        nodes = sorted({width - tree.length + p.node for tree in trees for p in tree.predictions})
        column = {node: i for i, node in enumerate(nodes)}
        logits = self._logits(trees, width, nodes).flatten(0, 1).float()
        places = [
            i * len(nodes) + column[width - tree.length + p.node]
            for i, tree in enumerate(trees)
            for p in tree.predictions
        ]
        where = torch.tensor(places, device=self._device)
        tokens = torch.tensor([p.token for tree in trees for p in tree.predictions], device=self._device)
        weights = torch.tensor([p.weight for tree in trees for p in tree.predictions], device=self._device)
        # Several rows may predict from one node: its normaliser is computed once.
        return (weights * (logits.logsumexp(-1)[where] - logits[where, tokens])).sum()

    def _logits(self, trees: Sequence[Tree], width: int, nodes: Sequence[int]) -> torch.Tensor:
        """Logits at `nodes` (columns) of tries that are padded on the left to `width`; [tries, nodes, vocabulary]."""
        ids = torch.zeros(len(trees), width, dtype=torch.long)
        positions = torch.zeros(len(trees), width, dtype=torch.long)
        ends = torch.arange(1, width + 1).repeat(len(trees), 1)  # padding sees itself, and nothing sees it
        for i, tree in enumerate(trees):
            start = width - tree.length
            ids[i, start:] = torch.tensor(tree.tokens)
            positions[i, start:] = torch.tensor(tree.depths)
            ends[i, start:] = torch.tensor(tree.ends) + start
        kept = torch.tensor(nodes, device=self._device)
        logits = self._model(
            input_ids=ids.to(self._device),
            attention_mask=_mask(ends.to(self._device), self._dtype),
            position_ids=positions.to(self._device),
            use_cache=False,
            **({"logits_to_keep": kept} if self._some_logits else {}),
        ).logits
        return logits if self._some_logits else logits[:, kept]

    def _try(self, tree: Tree) -> None:
        """Compare log-probabilities of packed rows with those of two rows alone: the longest and the last one."""
        last = tree.length - 1
        deepest = max(range(tree.length), key=tree.depths.__getitem__)
        training = self._model.training
        self._model.eval()
        try:
            with torch.no_grad(), torch.autocast(self._device.type, enabled=False):
                packed = self._logits([tree], tree.length, range(tree.length))[0].float()
                differences = [self._difference(packed, tree, leaf) for leaf in {last, deepest}]
        except Exception as error:  # whatever a model raises on such input: it is trained row by row
            self._refuse(f"{type(error).__name__}: {error}")
            return
        finally:
            self._model.train(training)
        worst = max(differences)
        if not worst <= _TOLERANCE.get(self._dtype, _COARSE_TOLERANCE):
            self._refuse(f"log-probabilities of {tree.length} packed tokens differ by {worst:.2g} from those of rows")
        self._tried = tree.length

    def _difference(self, packed: torch.Tensor, tree: Tree, leaf: int) -> float:
        """Mean absolute difference of the log-probabilities of one row's tokens."""
        path = [node for node in range(leaf + 1) if leaf < tree.ends[node]]
        ids = torch.tensor([tree.tokens[node] for node in path], device=self._device)
        alone = self._model(input_ids=ids[None], use_cache=False).logits[0].float()
        following = ids[1:, None]
        both = [logits[:-1].log_softmax(-1).gather(1, following) for logits in (packed[path], alone)]
        return (both[0] - both[1]).abs().mean().item()

    def _refuse(self, reason: str) -> None:
        self.refusal = reason
        _log.warning("rows are trained on one by one, as this model does not take packed rows (%s)", reason)


def takes_logits_to_keep(model: Any) -> bool:
    """Whether the model can be told at which tokens logits are wanted; `model` may be wrapped by peft."""
    return "logits_to_keep" in _parameters(model)


def takes_position_ids(model: Any) -> bool:
    """Whether the model can be told positions; recurrent models and those with ALiBi know none."""
    return "position_ids" in _parameters(model)


def _parameters(model: Any) -> Mapping[str, inspect.Parameter]:
    inner = model.get_base_model() if model.__class__.__module__.startswith("peft.") else model
    return inspect.signature(inner.forward).parameters


def _mask(ends: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Additive mask [tries, 1, nodes, nodes] in which each node sees its ancestors and itself.

    Additive, since eager attention takes no other; finite, since some models add further masks to it.
    """
    order = torch.arange(ends.shape[1], device=ends.device)
    visible = (order[None, None, :] <= order[None, :, None]) & (order[None, :, None] < ends[:, None, :])
    return torch.zeros(visible.shape, dtype=dtype, device=ends.device).masked_fill_(~visible, torch.finfo(dtype).min)[
        :, None
    ]


def _probe(vocabulary: int) -> Tree:
    """Three rows that part at two places."""
    random = Random(0)
    first, second, third, fourth = (tuple(random.randrange(vocabulary) for _ in range(n)) for n in (6, 7, 5, 9))
    return grow([EncodedRow(first, target, 1.0) for target in (second, second[:3] + third, fourth)])
