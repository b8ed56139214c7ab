"""What a reply must hold: the kind of each requested JSON key, or of a plain-text reply.

A name only decides which kind of text a slot receives. It earns nothing by itself: a slot has an effect when its text
stands before the answer (in the same reply, or in the conversation of a later call).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from w4s_gym.benchmark import AnswerKind

Slot = Literal[
    "answer", "code", "expression", "select", "reason", "restate", "principle", "critique", "verdict", "score", "role"
]

_PATTERNS: tuple[tuple[Slot, re.Pattern[str]], ...] = (
    ("restate", re.compile(r"translat|restat|rephras|paraphras|reformulat|in_english|clarified|rewritten")),
    ("verdict", re.compile(r"^(is_)?(correct|valid|verified|right|ok|passes|consistent)$|verdict|verification_result")),
    ("score", re.compile(r"score|confidence|rating|certainty|probability")),
    ("critique", re.compile(r"criti|feedback|review|reflect|mistake|error|issue|flaw|verif|check")),
    ("principle", re.compile(r"principle|concept|background|knowledge|hint|abstraction")),
    (
        "reason",
        re.compile(r"reason|think|thought|step|analy|explanation|explain|plan|cot|rationale|working|perspective"),
    ),
    ("select", re.compile(r"^(best|selected|chosen|winner|vote|pick)|index|letter|_id$|selection|which|^choice$")),
    ("expression", re.compile(r"expression|formula|equation|arithmetic")),
    ("code", re.compile(r"code|program|python|script|function|implementation")),
    ("answer", re.compile(r"answer|result|solution|output|final|response|value|number")),
    ("role", re.compile(r"role|expert|persona|profession|assign")),
)

_INTENTS: tuple[tuple[Slot, re.Pattern[str]], ...] = (
    (
        "restate",
        re.compile(r"\b(translate|restate|rephrase|paraphrase|reformulate|rewrite) (this|the|it|following|into)", re.I),
    ),
    (
        "critique",
        re.compile(r"\b(critique|criticize|criticise|review|find (any |the )?(mistake|error)s?|give feedback)\b", re.I),
    ),
    ("principle", re.compile(r"\b(principles?|concepts?) (involved|behind|needed|relevant|underlying|of)\b", re.I)),
    (
        "code",
        re.compile(r"\b(write|generate|give|return|produce)\b.{0,40}\b(python|program|code|function)\b", re.I | re.S),
    ),
)


@lru_cache(maxsize=4096)
def slots_of_keys(keys: tuple[str, ...], kind: AnswerKind) -> tuple[Slot, ...]:
    """Return the slot kind of each key, in order.

    Args:
        keys: JSON keys in the order in which the reply writes them.
        kind: kind of the item's answer; `solution` means a program on a code benchmark.
    """
    slots: list[Slot] = [_slot_of_name(key, kind) or "reason" for key in keys]
    if not any(slot in ("answer", "code", "expression", "select", "critique", "verdict", "score") for slot in slots):
        unknown = [i for i, key in enumerate(keys) if _slot_of_name(key, kind) is None]
        if unknown:
            slots[unknown[-1]] = "answer"
    return tuple(slots)


def _slot_of_name(key: str, kind: AnswerKind) -> Slot | None:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.strip()).lower().replace(" ", "_").replace("-", "_")
    for slot, pattern in _PATTERNS:
        if pattern.search(name):
            if slot == "answer" and kind == "code":
                return "code"
            if slot == "select" and kind == "choice":
                return "answer"
            return slot
    return None


def slot_of_instruction(text: str, kind: AnswerKind) -> Slot:
    """Return what a plain-text request asks for, from its words outside the task."""
    head = text[-600:]
    for slot, pattern in _INTENTS:
        if pattern.search(head):
            return slot
    return "code" if kind == "code" else "answer"
