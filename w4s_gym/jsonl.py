"""Lines of JSON that are appended one by one: what a process that is killed while it writes leaves behind."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 65536
"""Bytes that are read at a time from the end."""
_MARK = b"\xef\xbb\xbf"
"""Byte order mark that some editors put in front of a file."""


def whole_lines(path: Path, *, unbroken: bool = False) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file, each with its number from 1; a torn last line is left out with a warning.

    A byte order mark is left out, too.

    Args:
        path: the file; it must exist.
        unbroken: take a last line without a line break that is JSON, as some editors write it.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n") and not (unbroken and _is_json(line)):
                _warn(path, len(line), "is left out")
                return
            yield number, line.removeprefix(_MARK) if number == 1 else line


def mend_end(path: Path, *, unbroken: bool = False) -> None:
    """Make a file ready for appending: a torn last line is cut off with a warning.

    Args:
        path: the file; nothing happens if there is none.
        unbroken: as for `whole_lines`; such a line gets its line break.
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        end = start = file.seek(0, 2)
        tail = b""
        while start > 0 and b"\n" not in tail:
            begin = max(0, start - _BLOCK)
            file.seek(begin)
            tail = file.read(start - begin) + tail
            start = begin
        line = tail.rpartition(b"\n")[2]
        if not line:
            return
        if unbroken and _is_json(line):
            file.seek(end)
            file.write(b"\n")
        else:
            file.truncate(end - len(line))
            _warn(path, len(line), "is cut off")


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:  # of JSON, and of bytes that are no text
        return False


def _warn(path: Path, size: int, done: str) -> None:
    warnings.warn(
        f"{path}: the last line, of {size} bytes, {done}: a process was stopped before it had written all of it",
        stacklevel=3,
    )
