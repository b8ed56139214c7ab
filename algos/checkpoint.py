"""Saved states of several files that change as one: at whatever moment a process is killed, a folder holds one state.

A state is written into a folder of its own inside the target. When all of it is on disk, one rename declares it whole;
only then do its parts replace those of the state before. A process that is killed before the rename leaves the old
state, one that is killed after it leaves work that `settle` finishes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_UNFINISHED, _WHOLE = ".saving", ".saved"


@contextmanager
def saving(folder: Path) -> Iterator[Path]:
    """Replace parts of a folder, all of them or none.

    What else the folder holds stays. An error inside the `with` leaves everything as it was.

    Args:
        folder: is made if there is none.

    Yields:
        An empty folder for the new parts, files and folders.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settle(folder)
    scratch = folder / _UNFINISHED
    scratch.mkdir()
    try:
        yield scratch
        for path in [*(path for path in scratch.rglob("*")), scratch]:
            _flush(path)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    scratch.rename(folder / _WHOLE)
    settle(folder)


def settle(folder: Path) -> None:
    """Finish what a killed process left of saving into a folder, or remove it if it was not whole."""
    shutil.rmtree(folder / _UNFINISHED, ignore_errors=True)
    whole = folder / _WHOLE
    if not whole.exists():
        return
    for part in sorted(whole.iterdir()):
        old = folder / part.name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        part.replace(old)
    _flush(folder)
    whole.rmdir()


def set_aside(path: Path, drop: Callable[[bytes], bool]) -> None:
    """Move some lines of `name.jsonl` to the end of `name.unsaved.jsonl`; the file that stays is replaced as one.

    Args:
        path: nothing happens if there is no such file.
        drop: says of a line whether it goes.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        lines = [(line, drop(line)) for line in file]
    if not any(gone for _, gone in lines):
        return
    with path.with_name(f"{path.stem}.unsaved{path.suffix}").open("ab") as file:
        file.writelines(line for line, gone in lines if gone)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(b"".join(line for line, gone in lines if not gone))
    _flush(part)
    part.replace(path)


def _flush(path: Path) -> None:
    """Have a file or folder on disk, so that it is there after a crash of the machine, too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
