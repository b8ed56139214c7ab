"""The hostile workflows, by topic."""

from __future__ import annotations

import re
from pathlib import Path

HOSTILE = Path(__file__).parent / "hostile"
TOPICS = sorted(path.stem for path in HOSTILE.glob("*.txt"))


def about(topic: str) -> str:
    """Return what the attacks of a topic try, in the file's own words."""
    first = (HOSTILE / f"{topic}.txt").read_text().split("# ---")[0].strip()
    return re.split(r"[.:](?:\s|$)", " ".join(first.split()))[0]


def attacks(topic: str) -> list[tuple[str, list[str], str]]:
    """Return (name, allowed statuses, source) of a file's sections."""
    text = (HOSTILE / f"{topic}.txt").read_text()
    parts = re.split(r"^# --- (\w+)(?: -> ([\w ]+))?\n", text, flags=re.MULTILINE)[1:]
    return [(parts[i], (parts[i + 1] or "").split(), parts[i + 2]) for i in range(0, len(parts), 3)]
