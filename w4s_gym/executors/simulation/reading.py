"""What the simulated executor notices in a prompt: structure, not wording."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from w4s_gym.executors.base import ChatRequest
from w4s_gym.executors.simulation.items import Artefact, ItemModel
from w4s_gym.executors.simulation.slots import Slot, slot_of_instruction, slots_of_keys

DEFAULT_ROLES = frozenset({"task solver", "assistant", "helpful assistant", ""})

_ROLE = re.compile(r"^You are an? (?:helpful )?(.{0,200}?)\.(?: |$)", re.S)
_FORMAT_RULE = re.compile(r"Reply in JSON format, ONLY using the keys \[.*?\]\.?", re.S)
_LABEL = re.compile(
    r"(?im)(?:\b(?:solution|answer|candidate|agent|option|attempt|response|expert|proposal|try)s?\s*[#(\[]?\s*"
    r"(\d{1,2}|[A-J])\s*[:)\]]|^\s*[#(\[]?\s*(\d{1,2}|[A-J])\s*[:).\]](?=\s))"
)
_ERROR = re.compile(r"\b\w*(?:Error|Exception|Failed|Traceback)\b")
_DIFFERENT = re.compile(
    r"\b(?:another|different|alternative|new|other)\b[^.\n]{0,40}\b(?:way|approach|method|solution|idea|manner)", re.I
)
_QUOTED_KEY = re.compile(r"[\"'](\w{1,40})[\"']\s*:")


@dataclass(frozen=True)
class Reading:
    """A prompt as the executor understands it."""

    slots: tuple[Slot, ...]
    """What the reply holds, in order."""
    keys: tuple[str, ...]
    """JSON keys of the slots; empty for a plain text."""
    coverage: float
    """Fraction of the question that the prompt holds."""
    artefacts: frozenset[Artefact]
    """Texts of the executor itself about this item: restatements, principles."""
    verdict: Artefact | None
    """Its latest judgement of a shown answer: `sound`, `faulty`, or none."""
    shown: Counter[int]
    """How often each possible answer of the item is shown."""
    others: int
    """How many further values are shown."""
    labels: tuple[tuple[str, int], ...]
    """Labelled answers to choose from: (label, index of the answer)."""
    persona: bool
    """The system prompt assigns a role."""
    shots: int
    """Worked examples that stand before the question as earlier turns."""
    error: bool
    """A program is shown with the error it raised or the test it failed."""
    different: bool
    """Something different from the shown answers is asked for."""


def read(request: ChatRequest, model: ItemModel) -> Reading:
    """Read a request about an item."""
    system = "\n".join(m["content"] for m in request.messages if m["role"] == "system")
    role = _ROLE.match(system)
    persona = bool(role) and role.group(1).strip().lower() not in DEFAULT_ROLES  # type: ignore[union-attr]
    instructions = _FORMAT_RULE.sub("", system[role.end() :] if role else system)
    turns = [m for m in request.messages if m["role"] != "system"]
    whole = "\n".join([instructions, *(m["content"] for m in turns)])
    around, coverage = model.split(whole)
    noted = model.artefacts(whole)
    judgements = [a for a in noted if a in ("sound", "faulty")]
    text_around_labels = _LABEL.sub("\n", around)
    shown, others = model.shown(text_around_labels)
    keys = request.json_keys or (_guess_keys(whole) if request.json_mode else ())
    if keys:
        slots = slots_of_keys(keys, model.item.kind)
    else:
        slots = (slot_of_instruction(around, model.item.kind),)
    return Reading(
        slots=slots,
        keys=keys,
        coverage=coverage,
        artefacts=frozenset(noted),
        verdict=judgements[-1] if judgements else None,
        shown=shown,
        others=others,
        labels=_labelled(around, model) if "select" in slots else (),
        persona=persona,
        shots=_examples(turns, model),
        error=bool(shown) and _ERROR.search(around) is not None,
        different=bool(shown) and _DIFFERENT.search(around) is not None,
    )


def _guess_keys(text: str) -> tuple[str, ...]:
    """Find the keys that a prompt in JSON mode names; `answer` when it names none."""
    return tuple(dict.fromkeys(_QUOTED_KEY.findall(text)))[:8] or ("answer",)


def _examples(turns: list[Mapping[str, str]], model: ItemModel) -> int:
    """Count pairs of a user turn without this question and an assistant turn, before the question comes."""
    count = 0
    for asked, replied in pairwise(turns):
        if model.task in asked["content"]:
            break
        if asked["role"] == "user" and replied["role"] == "assistant":
            count += 1
    return count


def _labelled(around: str, model: ItemModel) -> tuple[tuple[str, int], ...]:
    """Pair each label with the answer that its text holds (the most frequent one)."""
    marks = list(_LABEL.finditer(around))
    found = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        part = around[mark.end() : following.start() if following else len(around)]
        shown, _ = model.shown(part)
        if shown:
            found.append((mark.group(1) or mark.group(2), max(shown, key=lambda i: (shown[i], -i))))
    return tuple(found)
