"""Where this machine keeps what is made or computed once: the tiny meta-agent, converted models, hashes of files."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Folder of everything that is made once: `W4S_CACHE_DIR`, else `w4s-gym` in the user's cache folder."""
    chosen = os.environ.get("W4S_CACHE_DIR")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "w4s-gym"
