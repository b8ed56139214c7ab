"""Finding the final answer in a longer reply."""

from __future__ import annotations

import re

LONGEST_TAIL = 20_000
"""Characters at the end of a reply that are searched for an answer; a longer reply is cut in front."""

_MARKER = re.compile(r"\banswer(?:[ \t]+is|[ \t]*[:=])", re.IGNORECASE)
_CLAUSE_END = re.compile(r"\n|[.!?。](?=\s|$)")
_BOXED = re.compile(r"\\(?:boxed|fbox) ?\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last complete `\boxed{...}`, braces balanced, or None."""
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
    return text[slice(*found)] if found else None


def marked_answer(text: str) -> str | None:
    r"""Return what follows the last answer marker: `####`, else `\boxed{}`, else "answer is" or "answer:".

    The part ends with its line or sentence; blank parts do not count. None when there is no marker.
    """
    text = text[-LONGEST_TAIL:]
    if "####" in text:
        part = text.rpartition("####")[2].strip().partition("\n")[0].strip()
        if part:
            return part
    boxed = last_boxed(text)
    if boxed is not None and boxed.strip():
        return boxed.strip()
    for match in reversed(list(_MARKER.finditer(text))):
        part = text[match.end() :].lstrip(" \t\r\n:*_`\"'")
        end = _CLAUSE_END.search(part)
        part = (part[: end.start()] if end else part).strip()
        if part:
            return part
    return None
