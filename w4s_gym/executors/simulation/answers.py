"""An item's possible answers: the right one, two systematic misreadings and a few slips, the same in every call."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from w4s_gym.benchmark import Item
from w4s_gym.executors.simulation.mutants import mutants
from w4s_gym.executors.simulation.noise import Stream

MISREADINGS = 2
"""Answers 1 and 2 come from understanding the question wrongly; the others are slips of the derivation."""
SLIPS = 6
_SIZE = 1 + MISREADINGS + SLIPS

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?")
_SPAN = re.compile(r"[A-Z][\w'-]+(?: (?:of |the |de )?[A-Z][\w'-]+)*")
_OPTION = re.compile(r"(?m)^\s*\(?([A-J])[).:]\s")


def gold_text(gold: Any) -> str:
    """Write a gold answer as a text that a model would give: of several accepted answers the first."""
    while isinstance(gold, Sequence) and not isinstance(gold, str):
        gold = gold[0] if gold else ""
    if isinstance(gold, dict):
        return gold_text(next(iter(gold.values()), ""))
    if isinstance(gold, float):
        return number_text(gold)
    return str(gold)


def number_text(value: float) -> str:
    """Write a number the short way: whole numbers without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def as_number(text: str) -> float | None:
    """Read a number out of a text, commas removed; None if there is none."""
    match = _NUMBER.search(text)
    return float(match.group().replace(",", "")) if match else None


def answer_family(item: Item, stream: Stream) -> tuple[str, ...]:
    """Return the item's possible answers; the first one is correct, the rest are wrong and differ from each other."""
    if item.kind == "code":
        right = code_source(item)
        wrong = mutants(right, item.entry_point, _SIZE - 1, stream)
        name = item.entry_point or "solution"
        while len(wrong) < 2:
            wrong.append(f"def {name}(*args, **kwargs):\n    return {'None' if not wrong else 'NotImplemented'}")
        return (right, *wrong)
    right = gold_text(item.gold)
    if item.kind == "choice":
        letters = list(dict.fromkeys(_OPTION.findall(item.task))) or list("ABCD")
        others = [letter for letter in letters if letter != right]
        return (right, *_shuffled(others, stream))
    value = as_number(right)
    if item.kind in ("number", "math") and value is not None:
        wrong_numbers = wrong_values(value, item.task, stream)
        return (right, *(right.replace(_NUMBER.search(right).group(), w, 1) for w in wrong_numbers))  # type: ignore[union-attr]
    return (right, *wrong_texts(right, item.task, stream))


def code_source(item: Item) -> str:
    """Return the canonical solution as a whole module: the prompt stands in front of a bare body."""
    gold = gold_text(item.gold)
    if item.entry_point and f"def {item.entry_point}" in gold:
        return gold
    return str(item.context.get("prompt", "")) + gold


def wrong_values(right: float, task: str, stream: Stream) -> list[str]:
    """Return wrong numbers of the kind people give: an operation too many or too few, then slips of the arithmetic."""
    given = [float(n.replace(",", "")) for n in _NUMBER.findall(task)[:40]] or [2.0]
    pick = given[stream.index(len(given))] or 2.0
    other = given[stream.index(len(given))] or 3.0
    misread = [right + pick, right - pick, right * 2, right / 2, right * pick, right + other, right - other, right * 3]
    slips = [right + 1, right - 1, right + 10, right - 10, right * 10, right / 10, right + 2, right + 100, right * 1.1]
    whole = right == int(right)
    values = _shuffled(misread, stream)[: MISREADINGS + 2] + _shuffled(slips, stream)
    values += [right + 7 * k for k in range(3, 3 + _SIZE)]
    found: list[str] = []
    margin = max(0.2, 1e-3 * abs(right))  # outside the tolerance of every grader
    for value in values:
        value = float(round(value)) if whole else float(f"{value:.6g}")
        text = number_text(value)
        if abs(value - right) > margin and text not in found:
            found.append(text)
    return found[: _SIZE - 1]


def wrong_texts(right: str, task: str, stream: Stream) -> list[str]:
    """Return wrong short answers: other names or numbers of the passage, or another yes or no."""
    low = right.strip().lower()
    spans: list[str] = []
    if low in ("yes", "no"):
        spans.append("no" if low == "yes" else "yes")
    numeric = as_number(right) is not None and len(right) <= 12
    pool = _NUMBER.findall(task) if numeric else _SPAN.findall(task)
    words = set(re.findall(r"\w+", low))
    for span in _shuffled(list(dict.fromkeys(pool)), stream):
        if not words & set(re.findall(r"\w+", span.lower())) and 1 < len(span) + numeric <= 60:
            spans.append(span)
        if len(spans) == _SIZE - 1:
            return spans
    fillers = (
        "unknown",
        "not stated",
        "both of them",
        "neither of them",
        "none",
        "the first one",
        "the other one",
        "0",
    )
    return (spans + [f for f in fillers if f not in spans])[: _SIZE - 1]


def _shuffled(values: list[Any], stream: Stream) -> list[Any]:
    order = sorted((stream.uniform(), i) for i in range(len(values)))
    return [values[i] for _, i in order]
