"""Where this machine keeps what is made or computed once: the tiny meta-agent, converted models, hashes of files."""

from __future__ import annotations

import os
from pathlib import Path

from w4s_gym.paths import user_path


def cache_root() -> Path:
    """Folder of everything that is made once: `W4S_CACHE_DIR`, else `w4s-gym` in the user's cache folder."""
    chosen = os.environ.get("W4S_CACHE_DIR")
    if chosen:
        return user_path(chosen)
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "w4s-gym"
