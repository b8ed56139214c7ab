"""Reading an action: an analysis, then complete Python code in a fenced block."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^[ \t]*```[ \t]*(\w*)[ \t]*$", re.MULTILINE)
_DEFINES_SOLVER = re.compile(r"^(?:async[ \t]+)?def[ \t]+solver\b", re.MULTILINE)

MAX_WORKFLOW_CHARS = 100_000
"""Longer workflows are refused before they reach the sandbox."""


@dataclass(frozen=True)
class ParsedAction:
    """An action taken apart."""

    analysis: str
    """Text in front of the block that counts."""
    workflow: str | None
    """Source of the last closed Python block that defines `solver`; None when there is none."""
    problem: str = ""
    """Why there is no workflow, in words the meta-agent can act on."""


def parse_action(action: str) -> ParsedAction:
    """Find the workflow in an action.

    The last closed block that is fenced with three backticks (language `python`, `py` or none) and defines `solver`
    counts. The source is only searched, never compiled: it is untrusted.
    """
    if not action.strip():
        return ParsedAction("", None, "the action is empty; expected an analysis and a ```python block")
    fences = list(_FENCE.finditer(action))
    blocks: list[tuple[int, str]] = []
    opening: re.Match[str] | None = None
    for fence in fences:
        if opening is None:
            opening = fence
        elif not fence.group(1):
            if opening.group(1).lower() in ("", "python", "py", "python3"):
                blocks.append((opening.start(), action[opening.end() + 1 : fence.start()]))
            opening = None
    for start, source in reversed(blocks):
        if _DEFINES_SOLVER.search(source):
            if len(source) > MAX_WORKFLOW_CHARS:
                return ParsedAction(
                    action[:start].strip(),
                    None,
                    f"the workflow has {len(source):,} characters; at most {MAX_WORKFLOW_CHARS:,} are accepted",
                )
            return ParsedAction(action[:start].strip(), source)
    if opening is not None and not blocks:
        problem = "the ```python block is not closed; end it with a line of three backticks"
    elif blocks:
        problem = "no ```python block defines a function `solver(agent, task)`"
    else:
        problem = "there is no ```python block; expected complete Python code that defines `solver(agent, task)`"
    return ParsedAction(action.strip(), None, problem)


def format_action(analysis: str, workflow: str) -> str:
    """Write an action the way `parse_action` reads it."""
    return f"{analysis.strip()}\n\n```python\n{workflow.strip()}\n```"
