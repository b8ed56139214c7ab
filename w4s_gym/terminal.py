"""Printing on terminals as they are."""

from __future__ import annotations

import io
import sys
from typing import TextIO


def tolerate_terminals() -> None:
    """Let no character that a terminal or a file cannot hold end a program: `?` stands in its place.

    For commands; it changes standard output and standard error of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_tolerantly(text: str, stream: TextIO | None = None) -> None:
    """Print a text; `?` stands for characters that the stream cannot hold."""
    stream = stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
