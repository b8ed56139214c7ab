"""Where this machine keeps what is made or computed once: the tiny meta-agent, converted models, hashes of files."""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

from w4s_gym.paths import user_path


def cache_root() -> Path:
    """Folder of everything that is made once: `W4S_CACHE_DIR`, else `w4s-gym` in the user's cache folder."""
    chosen = os.environ.get("W4S_CACHE_DIR")
    if chosen:
        return user_path(chosen)
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "w4s-gym"


def writable_cache_root() -> Path:
    """Make the folder and return it; where that cannot be (a read-only home, none at all), one for temporary files."""
    root = cache_root()
    if not str(root).startswith("~"):
        try:
            root.mkdir(parents=True, exist_ok=True)
            if os.access(root, os.W_OK):
                return root
        except OSError:
            pass  # told below
    other = Path(tempfile.gettempdir()) / f"w4s-gym-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"
    other.mkdir(mode=0o700, parents=True, exist_ok=True)
    warnings.warn(
        f"{root} cannot be written; what is made once is kept in {other} instead. Choose a folder with W4S_CACHE_DIR",
        stacklevel=3,
    )
    return other
