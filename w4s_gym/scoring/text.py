"""Finding the final answer in a longer reply."""

# ruff: noqa: RUF001  (words of other scripts)

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

from w4s_gym.sandbox.inside.thoughts import without_thoughts

LONGEST_TAIL = 20_000
"""Characters at the end of a reply that are searched for an answer; a longer reply is cut in front."""

LONGEST_PART = 1_000
"""Characters behind a marker that are searched for its answer."""

_MOST_MARKERS = 20

# Words for "answer" of MGSM's languages: the prefixes of the evaluation in openai/simple-evals, and the words that
# connect them with the answer. All quantifiers are bounded, so that no text makes a search long.
MARKER = re.compile(
    r"(?:\banswer|\brespuesta(?: final| correcta)?|\bréponse(?: finale)?|\bantwort|\bответ|答案|答え|คำตอบ|\bjibu"
    r"|సమాధానం|উত্তর)[*_`]{0,4}[ \t]{0,3}(?:(?:is|es|est|ist|lautet|ni)\b|คือ|是|为|為|は|[:=\uff1a\u2014])",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile("\\n|[.!?](?=\\s|[*_`]|$)|[\u3002\u0964]")
_BOXED = re.compile(r"\\(?:boxed|fbox) ?\{")
_BARE_BOX = re.compile(r"\\boxed(?:[ \t]{1,3}|(?=\d))([^\s{}$\\]{1,60})")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DECORATION = " \t\r\n:*_`\"'\uff1a"
# What may follow #### in GSM8K's way of marking an answer, but not a list number: "#### 2. Add them".
_NUMBERED = re.compile(r"\d{1,3}[.):][ \t]+\D")
_LIKE_AN_ANSWER = re.compile(r"[-+$€£¥₹(\\.]|\d|none\b", re.IGNORECASE)


def tail(reply: str) -> str:
    """Return the end of a reply that is searched for an answer, without thoughts of a reasoning model."""
    return without_thoughts(reply[-LONGEST_TAIL:])


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last complete `\boxed{...}`, braces balanced, or of `\boxed 6`; None without one."""
    text = text[-LONGEST_TAIL:]
    boxes = {match.end() for match in _BOXED.finditer(text)}
    open_braces: list[int] = []
    found: tuple[int, int] | None = None
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            open_braces.append(match.end())
        elif match[0] == "}" and open_braces:
            start = open_braces.pop()
            if start in boxes and (found is None or start > found[0]):
                found = (start, match.start())
    bare = deque(_BARE_BOX.finditer(text, found[1] if found else 0), 1)
    if bare:
        return bare[0][1].rstrip(".,;")
    return text[slice(*found)] if found else None


def marked_answers(text: str) -> Iterator[str]:
    r"""Yield what follows the answer markers, the most decisive first.

    These are the last `####` that is no heading, then `\boxed{}`, then "answer is" and "answer:" from the last one on,
    in the languages of MGSM too. A part ends with its line or sentence; blank parts do not count. A line of Markdown
    such as `#### Step 2: Add` is a heading: it marks an answer only if a number, a formula or "None" follows, or if it
    is the last line.
    """
    text = text[-LONGEST_TAIL:]
    if (part := _after_hashes(text)) is not None:
        yield part
    boxed = last_boxed(text)
    if boxed is not None and boxed.strip():
        yield boxed.strip()
    for match in reversed(deque(MARKER.finditer(text), _MOST_MARKERS)):
        part = text[match.end() : match.end() + LONGEST_PART].lstrip(_DECORATION)
        end = _CLAUSE_END.search(part)
        part = (part[: end.start()] if end else part).strip()
        if part:
            yield part


def marked_answer(text: str) -> str | None:
    """Return the most decisive of `marked_answers`, or None when there is no marker."""
    return next(marked_answers(text), None)


def _after_hashes(text: str) -> str | None:
    """Return what follows the last `####` that marks an answer."""
    end = len(text)
    for _ in range(_MOST_MARKERS):
        start = text.rfind("####", 0, end)
        if start < 0:
            return None
        end = start
        if text[start - 1 : start] == "#":  # a heading of a lower level
            continue
        line, _, rest = text[start + 4 : start + 4 + LONGEST_PART].partition("\n")
        part = line.strip()
        if not part and rest.strip():  # the answer stands in the next line
            part, _, rest = rest.strip().partition("\n")
            part = part.strip()
        bare = part.lstrip(_DECORATION)
        if bare and (not rest.strip() or (_LIKE_AN_ANSWER.match(bare) and not _NUMBERED.match(bare))):
            marker = MARKER.match(bare) or MARKER.search(bare)
            return (bare[marker.end() :].lstrip(_DECORATION) or bare) if marker else part.strip("*_` ")
    return None
