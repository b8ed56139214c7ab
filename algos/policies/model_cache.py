"""Folders that are made once per machine and kept: the tiny meta-agent, converted models."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from w4s_gym.cache_folder import cache_root, writable_cache_root


def make_once(name: str, build: Callable[[Path], object]) -> Path:
    """Return the folder `name` of the cache, building it first if there is none.

    Processes that ask at the same time wait for the one that builds. A build that fails leaves nothing behind; what a
    killed one leaves is never taken for the result, and the next one removes it.

    Args:
        name: name of the folder; it must change with everything the contents depend on.
        build: writes the contents into an empty folder.
    """
    folder = cache_root() / name
    if folder.exists():
        return folder
    root = writable_cache_root()
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        if not folder.exists():
            for stale in root.glob(f"{name}-*"):  # of a process that was killed: the lock says that nobody builds
                shutil.rmtree(stale, ignore_errors=True)
            scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=root))
            try:
                build(scratch)
                scratch.rename(folder)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return folder
