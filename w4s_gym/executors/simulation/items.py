"""An item as the simulated executor sees it: difficulties, possible answers, and how to find these in a text."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Literal

from w4s_gym.benchmark import Item
from w4s_gym.executors.simulation.answers import answer_family, as_number
from w4s_gym.executors.simulation.noise import Stream, digest
from w4s_gym.executors.simulation.profile import Profile

Artefact = Literal["restate", "principle", "sound", "faulty"]

_NUMBERS = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w])")
_LETTER = re.compile(r"(?:^|[:(\"'\s])\(?([A-J])\)?(?=[\s.,;\"')]*(?:$|\n|[.,;\"')]))", re.M)
_SENTENCE = re.compile(r"(?<=[.?!\n\u3002\uff1f\uff01])\s*")
_TYPICAL_LENGTH = 300
_LENGTH_LOADING = 0.25
"""Correlation of difficulty with the (log) length of the question."""
_SHARED = 0.5
"""Correlation between reading, deriving and programming difficulty of the same item."""
_SHORTEST_PART = 12


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

    def shown(self, text: str) -> tuple[Counter[int], int]:
        """Find answers in a prompt's text around the question.

        Args:
            text: the text without the question.

        Returns:
            How often each of the item's possible answers occurs, and how many other values stand beside them.
        """
        return self._counter(text)

    def _make_counter(self) -> Callable[[str], tuple[Counter[int], int]]:
        if self.item.kind == "code":
            return self._code_counter()
        if self.item.kind == "choice":
            places = {letter: i for i, letter in enumerate(self.answers)}
            return lambda text: _tally(places, _LETTER.findall(text))
        numbers = [as_number(a) for a in self.answers]
        if self.item.kind == "number" and all(n is not None for n in numbers):
            by_value = {n: i for i, n in reversed(list(enumerate(numbers)))}

            def count_numbers(text: str) -> tuple[Counter[int], int]:
                return _tally(by_value, [float(n.replace(",", "")) for n in _NUMBERS.findall(text)])

            return count_numbers
        # longest first, so that an answer inside another is not counted for it
        ordered = sorted(range(len(self.answers)), key=lambda i: -len(self.answers[i]))
        pattern = re.compile(
            "|".join(rf"(?P<a{i}>(?<!\w){re.escape(self.answers[i])}(?!\w))" for i in ordered if self.answers[i])
            or r"(?!)",
            re.I,
        )

        def count_texts(text: str) -> tuple[Counter[int], int]:
            return Counter(int(m.lastgroup[1:]) for m in pattern.finditer(text) if m.lastgroup), 0

        return count_texts

    def _code_counter(self) -> Callable[[str], tuple[Counter[int], int]]:
        right = {line.strip() for line in self.answers[0].splitlines()}
        traits: list[tuple[int, str]] = []
        for i, source in enumerate(self.answers[1:], 1):
            own = [line.strip() for line in source.splitlines() if line.strip() not in right]
            shared = [line for line in own if not any(line in other for j, other in enumerate(self.answers) if j != i)]
            traits += [(i, line) for line in shared[:1]]
        header = f"def {self.item.entry_point or ''}"

        def count_programs(text: str) -> tuple[Counter[int], int]:
            programs = text.count(header)
            found = Counter({i: n for i, line in traits if (n := text.count(line))})
            correct = programs - found.total()
            if correct > 0:
                found[0] = correct
            return found, 0

        return count_programs


_ARTEFACTS: tuple[Artefact, ...] = ("restate", "principle", "sound", "faulty")


def _tally(places: dict[float, int] | dict[str, int], values: list[float] | list[str]) -> tuple[Counter[int], int]:
    found: Counter[int] = Counter()
    others = set()
    for value in values:
        place = places.get(value)  # type: ignore[call-overload]
        if place is None:
            others.add(value)
        else:
            found[place] += 1
    return found, len(others)
