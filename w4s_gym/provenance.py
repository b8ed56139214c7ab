"""Where a run comes from: the command, the commit of this software, the date."""

from __future__ import annotations

import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path


def provenance() -> dict[str, str]:
    """Return `date` (UTC), `command`, and `commit`, which is empty unless the package lies in a checkout of its own.

    A commit that ends in `+` has changes that are not committed.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "commit": _commit(Path(__file__).resolve().parents[1]),
    }


def _commit(source: Path) -> str:
    if not (source / "pyproject.toml").is_file():
        return ""  # installed: a repository around it would be somebody else's
    try:
        found = [
            subprocess.run(
                ["git", "-C", str(source), *arguments], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return ""
    return found[0] + ("+" if found[1] else "")
