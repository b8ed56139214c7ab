"""Runs the attacks and writes the table of docs/threats.md: `python -m tests.sandbox.threats_table`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from tests.sandbox.attacks import TOPICS, about, attacks
from tests.sandbox.ordinary_user import NOT_TWICE, PROJECT, pytest_as_user

PAGE = Path(PROJECT, "docs", "threats.md")
TESTS = ("tests/sandbox/test_hostile.py", "tests/sandbox/test_rivals.py")
COLUMNS = [(level, user) for user in ("root", "user") for level in ("L1", "L2", "L3")]
_LINE = re.compile(r"::test_(\w+)\[([^\]]*)\] (PASSED|FAILED|SKIPPED|ERROR)")
_LEVELS = {"layers0": "L1", "layers1": "L2", "layers2": "L3"}

Results = dict[tuple[str, str, str], str]
"""(class of attacks, level, user) -> verdict of pytest."""


def verdicts(output: str, user: str) -> Results:
    """Read the verbose output of pytest."""
    found: Results = {}
    for name, parameters, verdict in _LINE.findall(output):
        parts = parameters.split("-")
        level = next((_LEVELS.get(p, p) for p in parts if p in ("L1", "L2", "L3") or p in _LEVELS), None)
        if level is None:
            continue
        what = next((p for p in parts if p in TOPICS), name.replace("_", " "))
        key = what, level, user
        found[key] = verdict if found.get(key, "PASSED") == "PASSED" else found[key]
    return found


def table(results: Results) -> list[str]:
    """Return the table's lines."""
    rows: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for (what, level, user), verdict in results.items():
        count = len(attacks(what)) if what in TOPICS else 1
        words = {"PASSED": f"{count} of {count}", "SKIPPED": "-"}
        rows[what][level, user] = words.get(verdict, "**NOT CONTAINED**")
    lines = ["| class | what is tried | " + " | ".join(f"{level} {user}" for level, user in COLUMNS) + " |"]
    lines.append("|---|---|" + "---|" * len(COLUMNS))
    for what in sorted(rows, key=lambda w: (w not in TOPICS, w)):
        described = f"{what} | {about(what)}" if what in TOPICS else f"rivals | {what}"
        lines.append(f"| {described} | " + " | ".join(rows[what].get(c, "-") for c in COLUMNS) + " |")
    return lines


def main() -> int:
    """Run all attacks and write the table; 1 if one was not contained."""
    results: Results = {}
    own = "root" if os.geteuid() == 0 else "user"
    command = [sys.executable, "-m", "pytest", "-v", *TESTS, "-k", "not ordinary_user and not page_about_threats"]
    results |= verdicts(subprocess.run(command, cwd=PROJECT, capture_output=True, text=True).stdout, own)
    if own == "root":
        results |= verdicts(
            pytest_as_user("-v", *TESTS, "-k", NOT_TWICE.replace(" and not L1-resources", "")).stdout, "user"
        )
    lines = table(results)
    text = PAGE.read_text()
    start, end = text.index("<!-- table -->"), text.index("<!-- end of table -->")
    PAGE.write_text(text[:start] + "<!-- table -->\n" + "\n".join(lines) + "\n" + text[end:])
    return int(any("NOT CONTAINED" in line for line in lines))


if __name__ == "__main__":
    sys.exit(main())
