"""Paths as users write them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def user_path(written: str | os.PathLike[str]) -> Path:
    """Return the path that an option or a variable names; a leading `~` is the home folder, as in a shell.

    Shells expand it only at the head of a word, so not in `--run-dir=~/runs`, `local:~/m.gguf`, JSON or Python. Where
    there is no home folder it stays as it is written.

    Example:
        >>> user_path("~/runs") == Path.home() / "runs", user_path("a/~b").as_posix()
        (True, 'a/~b')
    """
    try:
        return Path(written).expanduser()
    except RuntimeError:
        return Path(written)


def expand_arguments(arguments: Sequence[str]) -> list[str]:
    """Return a command line whose values that begin with `~` name paths below the home folder, also after `--name=`."""
    found = []
    for argument in arguments:
        name, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        found.append(f"{name}{equals}{user_path(value)}" if value.startswith("~") else argument)
    return found
