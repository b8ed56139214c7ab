"""An item as the simulated executor sees it: difficulties, possible answers, and how to find these in a text."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Literal, NamedTuple, TypeVar

from w4s_gym.benchmark import Item
from w4s_gym.executors.simulation.answers import answer_family, as_number
from w4s_gym.executors.simulation.noise import Stream, digest
from w4s_gym.executors.simulation.profile import Domain, Profile

T = TypeVar("T", float, str)

Artefact = Literal["restate", "principle", "expert", "sound", "faulty"]

_NUMBERS = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])")
LABEL = re.compile(
    # Possessive, and blank lines are left to the next line, so that no run of white space is read twice.
    r"(?im)(?:\b(?:solution|answer|candidate|agent|option|attempt|response|expert|proposal|try)s?\s*+(?:[#(\[]\s*+)?"
    r"(\d{1,2}|[A-J])\s*+[:)\]]|^[^\S\n]*+(?:[#(\[]\s*+)?(\d{1,2}|[A-J])\s*+[:).\]](?=\s))"
)
"""A label in front of one of several answers: `Solution 2:`, `(B)`, `3.` at the start of a line."""
_LABEL_WORD = re.compile(
    r"(?:solution|answer|candidate|agent|option|attempt|response|expert|proposal|try|^|\n)s?[ \t]*[#(\[]?[ \t]*$", re.I
)
_LETTER = re.compile(r"(?:^|[:(\"'\s])\(?([A-J])\)?(?=[\s.,;\"')]*(?:$|\n|[.,;\"')]))", re.M)
_SENTENCE = re.compile(r"(?<=[.?!\n\u3002\uff1f\uff01])\s*")
_TYPICAL_LENGTH = 300
_LENGTH_LOADING = 0.25
"""Correlation of difficulty with the (log) length of the question."""
_SHARED = 0.5
"""Correlation between reading, deriving and programming difficulty of the same item."""
_SHORTEST_PART = 12


class Shown(NamedTuple):
    """Answers that a prompt holds."""

    answers: tuple[int, ...]
    """Indices of the item's possible answers, in the order in which they stand there, repeats included."""
    others: int
    """How many different further values stand beside them."""


class ItemModel:
    """Persistent properties of one item under one profile. All wordings, roles and samples share them."""

    def __init__(self, profile: Profile, item: Item, benchmark: str = "") -> None:
        """Draw the item's properties from a hash of the profile's seed and the question."""
        stream = Stream(digest("item", profile.seed, item.identity))
        self.item = item
        self.domain = profile.domain_of(benchmark, item.kind)
        self.task = item.task.strip()
        length = max(-2.0, min(2.0, math.log2((len(self.task) + 1) / _TYPICAL_LENGTH)))
        common = _LENGTH_LOADING * length + math.sqrt(1 - _LENGTH_LOADING**2) * stream.normal()

        def difficulty() -> float:
            return math.sqrt(_SHARED) * common + math.sqrt(1 - _SHARED) * stream.normal()

        self.reading = difficulty()
        """Difficulty of understanding the question."""
        self.deriving = difficulty()
        """Difficulty of working the answer out in words."""
        self.programming = difficulty()
        """Difficulty of writing it as a program."""
        self.telling = 0.5 * (self.reading + self.deriving) + 0.6 * stream.normal()
        """Difficulty of telling the right answer from wrong ones."""
        self.language_loss = profile.languages.get(item.group, 0.0)
        self.answers = answer_family(item, stream)
        self._counter = self._make_counter()
        self._marks = {kind: digest("mark", kind, profile.seed, item.identity).hex()[:6] for kind in _ARTEFACTS}
        self._kinds = {mark: kind for kind, mark in self._marks.items()}

    def under(self, domain: Domain) -> ItemModel:
        """Return the same item for an executor with other abilities."""
        other = copy.copy(self)
        other.domain = domain
        return other

    def mark(self, kind: Artefact) -> str:
        """Return the tag by which a text that the executor wrote for this item is known again."""
        return self._marks[kind]

    def artefacts(self, text: str) -> list[Artefact]:
        """Return the executor's own texts about this item that a prompt holds, in order."""
        if "[#" not in text:
            return []
        return [self._kinds[m] for m in re.findall(r"\[#([0-9a-f]{6})\]", text) if m in self._kinds]

    def split(self, text: str) -> tuple[str, float]:
        """Take the question out of a prompt.

        Args:
            text: prompt text.

        Returns:
            The text around the question, and which fraction of the question (0 to 1) was there.
        """
        if self.task in text:
            return text.replace(self.task, "\n"), 1.0
        found = total = 0
        for part in self._parts:
            total += len(part)
            if part in text:
                found += len(part)
                text = text.replace(part, "\n")
        return text, found / max(total, 1)

    @cached_property
    def _parts(self) -> list[str]:
        parts = [p.strip() for p in _SENTENCE.split(self.task)]
        return [p for p in parts if len(p) >= _SHORTEST_PART] or [self.task]

    def shown(self, text: str) -> Shown:
        """Find answers in a prompt's text around the question.

        Args:
            text: the text without the question.
        """
        return self._counter(text)

    def _make_counter(self) -> Callable[[str], Shown]:
        if self.item.kind == "code":
            return self._code_counter()
        if self.item.kind == "choice":
            places = {letter: i for i, letter in enumerate(self.answers)}
            return lambda text: _tally(places, _LETTER.findall(LABEL.sub("\n", text)))
        numbers = [as_number(a) for a in self.answers]
        if self.item.kind == "number" and None not in numbers:
            by_value = {n: i for i, n in reversed(list(enumerate(numbers))) if n is not None}

            def count_numbers(text: str) -> Shown:
                return _tally(by_value, [float(n.replace(",", "")) for n in _values(text)])

            return count_numbers
        # longest first, so that an answer inside another is not counted for it
        ordered = sorted(range(len(self.answers)), key=lambda i: -len(self.answers[i]))
        pattern = re.compile(
            "|".join(rf"(?P<a{i}>(?<!\w){re.escape(self.answers[i])}(?!\w))" for i in ordered if self.answers[i])
            or r"(?!)",
            re.I,
        )

        def count_texts(text: str) -> Shown:
            return Shown(tuple(int(m.lastgroup[1:]) for m in pattern.finditer(LABEL.sub("\n", text)) if m.lastgroup), 0)

        return count_texts

    def _code_counter(self) -> Callable[[str], Shown]:
        right = {line.strip() for line in self.answers[0].splitlines()}
        traits: list[tuple[int, str]] = []
        for i, source in enumerate(self.answers[1:], 1):
            own = [line.strip() for line in source.splitlines() if line.strip() not in right]
            shared = [line for line in own if not any(line in other for j, other in enumerate(self.answers) if j != i)]
            traits += [(i, line) for line in shared[:1]]
        header = f"def {self.item.entry_point or ''}"

        def count_programs(text: str) -> Shown:
            found = []
            for part in text.split(header)[1:]:
                found.append(next((i for i, line in traits if line in part), 0))
            return Shown(tuple(found), 0)

        return count_programs


_ARTEFACTS: tuple[Artefact, ...] = ("restate", "principle", "expert", "sound", "faulty")


def _values(text: str) -> Iterator[str]:
    """Yield the numbers of a text that are no labels."""
    for match in _NUMBERS.finditer(text):
        start, end = match.span()
        label = end - start <= 2 and text[end : end + 1] in (":", ")", "]", ".")
        if not (label and _LABEL_WORD.search(text[max(0, start - 16) : start] if start else "\n")):
            yield match.group()


def _tally(places: Mapping[T, int], values: Iterable[T]) -> Shown:
    found = []
    others = set()
    for value in values:
        place = places.get(value)
        if place is None:
            others.add(value)
        else:
            found.append(place)
    return Shown(tuple(found), len(others))
