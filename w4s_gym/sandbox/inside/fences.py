"""Finding programs in what models write: fenced code as CommonMark reads it, and the candidate that is a program.

Everything here reads line by line, so time grows with the length of the text. Standard library only: the module is
used on both ends of a channel.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

PYTHON = frozenset(("", "python", "py", "python3", "py3", "python2", "ipython", "pycon"))
MAX_CHECKS = 24
"""Most candidates of one text that are looked at."""

MAX_FENCES = 2_000
"""Of a text with more lines of backticks or tildes the last ones are read."""

_FENCE = re.compile(r"^[ \t]{0,200}(`{3,}+|~{3,}+)(.*)\n?", re.MULTILINE)
_TICKS = re.compile(r"`{3,}+")
_WORD = re.compile(r"[ \t]*\{?[ \t]*\.?([\w+#-]++)")


class _Line(NamedTuple):
    start: int
    end: int
    """Behind the line break."""
    mark: str
    rest: str


class Block(NamedTuple):
    """A fenced block that may be meant."""

    start: int
    """Where its opening fence stands in the text."""
    source: str
    """Its content."""
    language: str
    """First word of the info string, lower case."""
    closed: bool
    end: int
    """Where its content ends."""


def plain_lines(text: str) -> str:
    """Return a text with line feeds as its only line ends, as the other functions expect it."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _has_marks(text: str) -> bool:
    """Whether a text may hold a fenced block at all."""
    return "```" in text or "~~~" in text


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks as CommonMark reads them, in order; one that is never closed ends with the text.

    Unlike there, a fence may be indented as deep as list items do it. The text must have plain line ends.
    """
    found: list[Block] = []
    opening: _Line | None = None
    for line in _fence_lines(text):
        if opening is None:
            opening = line if _opens(line) else None
        elif _closes(line, opening):
            found.append(_block(text, opening, line))
            opening = None
    if opening is not None:
        found.append(_block(text, opening, None))
    return found


def readings(text: str, languages: frozenset[str] = PYTHON) -> Iterator[Block]:
    """Yield the blocks of these languages that may be meant, likeliest first: later openings before earlier ones.

    A program may hold fences itself, in the text of a prompt. So after the block that CommonMark sees, an opening is
    also read with each later fence as its end; last, a fence that names a language may open a block inside another.
    """
    lines = _fence_lines(text)
    regular: set[int] = set()
    opening: _Line | None = None
    for index, line in enumerate(lines):
        if opening is None:
            if _opens(line):
                opening = line
                regular.add(index)
        elif _closes(line, opening):
            opening = None
    starts = [i for i, line in enumerate(lines) if _opens(line) and _language(line) in languages]
    inner = [i for i in starts if i not in regular and _language(lines[i])]
    tried = 0
    for group in ([i for i in starts if i in regular], inner):
        ends = {i: _ends(lines, i) for i in group[: -MAX_CHECKS - 1 : -1]}
        for nth in range(MAX_CHECKS):  # first every opening with its own end, then the other ends
            for index, possible in ends.items():
                if nth < len(possible):
                    yield _block(text, lines[index], possible[nth])
                    tried += 1
                    if tried == MAX_CHECKS:
                        return


def program(text: str, defines: Callable[[str], bool], compiles: Callable[[str], bool]) -> Block | None:
    """Return the block that is meant: the first reading that defines what is asked for and compiles.

    If that lies inside another one that does too, it is only a text of the other one's. When none compiles, the first
    closed one that defines it, so that the error of the program itself is seen; None when no closed block defines it.
    `compiles` is not asked about a closed block without rival.

    Args:
        text: what a model wrote.
        defines: whether a source defines what is asked for; reads only.
        compiles: whether a source is Python; must be safe for hostile text.
    """
    candidates = [block for block in readings(plain_lines(text)) if defines(block.source)]
    if len(candidates) == 1 and candidates[0].closed:
        return candidates[0]
    good = [block for block in candidates if compiles(block.source)]
    meant = next(iter(good), None)
    for block in good:
        if meant is not None and block.start < meant.start and block.end >= meant.end:
            meant = block
    return meant or next((block for block in candidates if block.closed), None)


def fenced(source: str, language: str = "python") -> str:
    """Write a block whose fence is longer than any inside, so that it ends where it should."""
    longest = max((len(mark) for mark in _TICKS.findall(source)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{source.strip()}\n{fence}"


def _fence_lines(text: str) -> list[_Line]:
    if not _has_marks(text):
        return []
    found = deque(_FENCE.finditer(text), MAX_FENCES)
    return [_Line(match.start(), match.end(), match[1], match[2]) for match in found]


def _opens(line: _Line) -> bool:
    return line.mark[0] == "~" or "`" not in line.rest


def _closes(line: _Line, opening: _Line) -> bool:
    return line.mark[0] == opening.mark[0] and len(line.mark) >= len(opening.mark) and not line.rest.strip()


def _ends(lines: list[_Line], index: int) -> Sequence[_Line | None]:
    """Return the lines that may close an opening: the first, the last, then the others; None is the end of the text."""
    possible = [line for line in lines[index + 1 :] if _closes(line, lines[index])]
    return [*possible[:1], *possible[1:][-1:], *possible[1:-1]] if possible else [None]


def _language(line: _Line) -> str:
    word = _WORD.match(line.rest)
    return word[1].lower() if word else line.rest.strip()


def _block(text: str, opening: _Line, closing: _Line | None) -> Block:
    end = closing.start if closing else len(text)
    source = text[opening.end : end]
    indent = text.index(opening.mark, opening.start) - opening.start
    if indent:  # as many spaces as stand in front of the opening are no part of the content
        source = "".join(_unindented(line, indent) for line in source.splitlines(True))
    return Block(opening.start, source, _language(opening), closing is not None, end)


def _unindented(line: str, indent: int) -> str:
    return line[min(indent, len(line) - len(line.lstrip(" \t"))) :]
