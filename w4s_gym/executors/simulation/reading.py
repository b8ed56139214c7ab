"""What the simulated executor notices in a prompt: structure, not wording."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from w4s_gym.executors.base import ChatRequest
from w4s_gym.executors.simulation.items import LABEL, Artefact, ItemModel
from w4s_gym.executors.simulation.slots import Slot, slot_of_instruction, slots_of_keys

_ROLE = re.compile(r"^You are an? (?:helpful )?(.{0,200}?)\.(?: |$)", re.S)
_FORMAT_RULE = re.compile(r"Reply in JSON format, ONLY using the keys \[[^\]]{0,4000}+\]\.?")
_ERROR = re.compile(r"(?:Error|Exception|Failed|Traceback)\b")
_DIFFERENT = re.compile(
    r"\b(?:another|different|alternative|new|other)\b[^.\n]{0,40}\b(?:way|approach|method|solution|idea|manner)", re.I
)
_EDGE = 600
"""Characters at both ends of a prompt in which instructions are looked for."""
_MOST_READ = 200_000
"""Characters of a message that are read."""
_TERSE = re.compile(r"nothing else|\bonly the\b|answer only|few words|(?:number|letter|word)s? only", re.I)
_WORKING = re.compile(
    r"step by step|\b(?:think|reason|explain|reasoning|explanation)\b|\bshow\b.{0,20}\b(?:work|steps)", re.I
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
    """Texts of the executor itself about this item: restatements, principles, the expert it named."""
    verdict: Artefact | None
    """Its latest judgement of a shown answer: `sound`, `faulty`, or none."""
    shown: tuple[int, ...]
    """Possible answers of the item (by index) that are shown, in order, repeats included."""
    others: int
    """How many different further values are shown."""
    labels: tuple[tuple[str, int], ...]
    """Labelled answers to choose from: (label, index of the answer)."""
    terse: bool
    """A plain-text reply shall hold the answer alone, and nobody asks for the working."""
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
    instructions = _FORMAT_RULE.sub("", _ends(system[role.end() :] if role else system))
    turns = [{**m, "content": _ends(m["content"])} for m in request.messages if m["role"] != "system"]
    whole = "\n".join([instructions, *(m["content"] for m in turns)])
    around, coverage = model.split(whole)
    noted = model.artefacts(f"{system}\n{whole}" if role else whole)
    judgements = [a for a in noted if a in ("sound", "faulty")]
    shown, others = model.shown(around)
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
        terse=slots == ("answer",) and not keys and _TERSE.search(around) is not None and not _WORKING.search(around),
        shots=_examples(turns, model),
        error=bool(shown) and _ERROR.search(around) is not None,
        different=bool(shown) and _DIFFERENT.search(f"{around[:_EDGE]}\n{around[-_EDGE:]}") is not None,
    )


def _ends(text: str) -> str:
    """Return what is read of a text: of a very long one the beginning and the end."""
    return text if len(text) <= _MOST_READ else f"{text[: _MOST_READ // 2]}\n{text[-_MOST_READ // 2 :]}"


def most_shown(shown: tuple[int, ...]) -> int:
    """Return the answer with the most support; of several the one that came first."""
    return Counter(shown).most_common(1)[0][0]


def _guess_keys(text: str) -> tuple[str, ...]:
    """Find the keys that a prompt in JSON mode names; `answer` when it names none."""
    return tuple(dict.fromkeys(_QUOTED_KEY.findall(text)))[:8] or ("answer",)


def _examples(turns: Sequence[Mapping[str, str]], model: ItemModel) -> int:
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
    marks = list(LABEL.finditer(around))
    found = []
    for mark, following in zip(marks, [*marks, None][1:], strict=True):
        part = around[mark.end() : following.start() if following else len(around)]
        shown, _ = model.shown(part)
        if shown:
            found.append((mark.group(1) or mark.group(2), most_shown(shown)))
    return tuple(found)
