"""Conformance checks for benchmarks, one's own included."""

from __future__ import annotations

from w4s_gym.benchmark import Item


def reference_answer(item: Item) -> str:
    """Return an answer that is correct: the gold one as text, the first where several are."""
    gold = item.gold[0] if isinstance(item.gold, (list, tuple)) else item.gold
    return gold if isinstance(gold, str) else repr(gold)
