"""Scores multiple-choice answers by their letter. Nothing is guessed when none is found."""

from __future__ import annotations

import re
import unicodedata
from collections import deque

from w4s_gym.benchmark import never_blocks
from w4s_gym.scoring.text import last_boxed, tail

_DECORATION = r"[\s*_`$\"'(\[{]{0,12}(?:\\(?:text|textbf|mathrm|mathbf|boxed)\{[\s(]{0,3}){0,3}"
_CHOICE = r"(?:(?:the )?(?:correct )?(?:option|choice|letter)s?[\s*:]{1,4}(?:is[\s:]{1,3})?)?"
_ALONE = re.compile(_DECORATION + _CHOICE + _DECORATION + r"([A-J])[\s*_`$\"')\]}.:]{0,30}", re.IGNORECASE)
_LEADING = re.compile(
    r"\s{0,200}[*_]{0,4}(?:(?:option|choice|answer)[ \t]{1,3})?[*_]{0,4}\(?([A-J])(?:[).:]|[*_]{1,4}|$)", re.IGNORECASE
)
# The published order: "answer is (X)", then "Answer: X", then the last letter that stands alone. Decoration by Markdown
# and LaTeX, and "option" in front of the letter, are allowed everywhere.
_MARKED = tuple(
    re.compile(marker + r"[*_`]{0,4}" + _DECORATION + _CHOICE + _DECORATION + r"([A-J])(?![A-Za-z0-9'])", re.IGNORECASE)
    for marker in (
        r"answer[*_`]{0,4}[ \t]{1,3}is:?",
        r"(?:answer[*_`]{0,4}[ \t]{0,3}[:\uff1a]|答案[*_`]{0,4}(?:[:\uff1a]|是))",
    )
)
_LONE = re.compile(r"(?<![A-Za-z0-9'])([A-J])(?![A-Za-z0-9'])")
_WORD_AFTER = re.compile(r"\s+[a-z]")

# As in the evaluation script of TIGER-AI-Lab/MMLU-Pro, without its last resort, a letter by chance.
_PUBLISHED = (
    re.compile(r"answer is \(?([A-J])\)?"),
    re.compile(r"[aA]nswer:\s{0,200}([A-J])"),
    re.compile(r"\b[A-J]\b"),
)


def extract_letter(answer: str) -> str | None:
    """Return the letter (A to J) that an answer settles on, or None.

    A reply that is a letter, or has one in a box or in front of an option's text, is read as such. Else the last of
    "answer is X", then of "answer: X", then the last capital that stands alone and is no word ("I think", "A cat").
    """
    answer = unicodedata.normalize("NFKC", tail(answer))
    boxed = last_boxed(answer)
    for text in (answer.strip(), boxed):
        if text is not None and len(text) < 100 and (match := _ALONE.fullmatch(text)):
            return match[1].upper()
    if boxed is not None and (match := _LEADING.match(boxed)):
        return match[1].upper()
    for pattern in _MARKED:
        found = deque((m[1] for m in pattern.finditer(answer) if not _is_word(answer, m.end(1), m[1])), 1)
        if found:
            return found[0].upper()
    if (match := _LEADING.match(answer)) and match[1].isupper():
        return match[1]
    lone = deque((m[1] for m in _LONE.finditer(answer) if not _is_word(answer, m.end(), m[1])), 1)
    return lone[0] if lone else None


def published_letter(answer: str) -> str | None:
    """Return the letter that MMLU-Pro's own script reads, or None where it would guess one."""
    answer = answer[-20_000:]
    for pattern, last in zip(_PUBLISHED, (False, True, True), strict=True):
        found = [match[1] if pattern.groups else match[0] for match in pattern.finditer(answer)]
        if found:
            return found[-1] if last else found[0]
    return None


@never_blocks
def score_choice(gold: str, answer: str) -> float:
    """Return 1.0 if the answer settles on the letter `gold`, else 0.0."""
    return float(extract_letter(answer) == gold)


@never_blocks
def score_choice_as_published(gold: str, answer: str) -> float:
    """Return 1.0 if MMLU-Pro's own script would read the letter `gold`, else 0.0."""
    return float(published_letter(answer) == gold)


def _is_word(text: str, end: int, letter: str) -> bool:
    """Tell whether a letter that ends at `end` is the pronoun "I" or the article "a"."""
    return letter in "AIai" and _WORD_AFTER.match(text, end, end + 40) is not None
