"""Scores multiple-choice answers by their letter. Nothing is guessed when none is found."""

from __future__ import annotations

import re
import unicodedata

from w4s_gym.scoring.text import LONGEST_TAIL, last_boxed

_ALONE = re.compile(r"[\s*_`$\"'(\[{]*(?:\\(?:text|mathrm|mathbf|boxed)\{)*([A-Ja-j])[\s*_`$\"')\]}.:]*")
_LEADING = re.compile(r"\s*(?:\*\*)?\(?([A-J])(?:[).:]|\*\*)")
# The published order: "answer is (X)", then "Answer: X", then the last letter that stands alone.
_MARKED = (
    re.compile(r"answer is:?\s{0,3}(?:\*\*|option )?\(?([A-J])\b(?!')", re.IGNORECASE),
    re.compile(r"answer:\s{0,3}(?:\*\*|option )?\s?\(?([A-J])\b(?!')", re.IGNORECASE),
)
_LONE = re.compile(r"(?<![A-Za-z0-9'])([A-J])(?![A-Za-z0-9'])")
_WORD_AFTER = re.compile(r"\s+[a-z]")


def extract_letter(answer: str) -> str | None:
    """Return the letter (A to J) that an answer settles on, or None.

    A reply that is a letter, or has one in a box or in front of an option's text, is read as such. Else the last of
    "answer is X", then of "answer: X", then the last capital that stands alone and is no word ("I think", "A cat").
    """
    answer = unicodedata.normalize("NFKC", answer[-LONGEST_TAIL:])
    boxed = last_boxed(answer)
    for text in (answer.strip(), boxed):
        if text is not None and len(text) < 100 and (match := _ALONE.fullmatch(text)):
            return match[1].upper()
    for pattern in _MARKED:
        if found := [match[1] for match in pattern.finditer(answer) if not _is_word(answer, match.end(1), match[1])]:
            return found[-1].upper()
    if match := _LEADING.match(answer):
        return match[1]
    lone = [match[1] for match in _LONE.finditer(answer) if not _is_word(answer, match.end(), match[1])]
    return lone[-1] if lone else None


def score_choice(gold: str, answer: str) -> float:
    """Return 1.0 if the answer settles on the letter `gold`, else 0.0."""
    return float(extract_letter(answer) == gold)


def _is_word(text: str, end: int, letter: str) -> bool:
    """Tell whether a letter that ends at `end` is the pronoun "I" or the article "a"."""
    return letter in "AIai" and _WORD_AFTER.match(text, end) is not None
