"""Reading an action: an analysis, then complete Python code in a fenced block."""

from __future__ import annotations

import re
from dataclasses import dataclass

from w4s_gym.sandbox.inside import fences
from w4s_gym.sandbox.inside.thoughts import without_leading_thoughts
from w4s_gym.scoring.syntax import compiles

_DEFINES_SOLVER = re.compile(r"^(?:async[ \t]+)?def[ \t]+solver\b", re.MULTILINE)

MAX_WORKFLOW_CHARS = 100_000
"""Longer workflows are refused before they reach the sandbox."""

MAX_ACTION_CHARS = 1_000_000
"""Of a longer action the end is read."""


@dataclass(frozen=True)
class ParsedAction:
    """An action taken apart."""

    analysis: str
    """Text in front of the block that counts, without the thoughts of a reasoning model."""
    workflow: str | None
    """Source of the Python block that defines `solver`; None when there is none."""
    problem: str = ""
    """Why there is no workflow, in words the meta-agent can act on."""


def parse_action(action: str) -> ParsedAction:
    r"""Find the workflow in an action.

    Fences are read as CommonMark does: backticks or tildes, any info string that begins with `python`, `py` or
    nothing, any line ends; a block that is never closed ends with the text. Of several blocks the last one that
    defines `solver` and compiles counts, and if a program holds fences in its own texts, the end with which it
    compiles. The source is never compiled in this process: it is untrusted. Blocks for milliseconds when there are
    several candidates, so call it in a thread where an event loop runs.

    Example:
        >>> action = format_action("Ask once.", "def solver(agent, task): ...")
        >>> parsed = parse_action(action)
        >>> parsed.analysis, parsed.workflow
        ('Ask once.', 'def solver(agent, task): ...\n')
        >>> parse_action("just words").problem
        'there is no ```python block; expected complete Python code that defines `solver(agent, task)`'
    """
    text = fences.plain_lines(without_leading_thoughts(action[-MAX_ACTION_CHARS:]))
    if not text.strip():
        return ParsedAction("", None, "the action is empty; expected an analysis and a ```python block")
    block = fences.program(text, lambda source: _DEFINES_SOLVER.search(source) is not None, compiles)
    if block is None:
        return ParsedAction(text.strip(), None, _problem(text))
    analysis = text[: block.start].strip()
    if len(block.source) > MAX_WORKFLOW_CHARS:
        problem = f"the workflow has {len(block.source):,} characters; at most {MAX_WORKFLOW_CHARS:,} are accepted"
        return ParsedAction(analysis, None, problem)
    return ParsedAction(analysis, block.source)


def clean_action(action: str) -> str:
    """Replace lone surrogates, which can neither be written to a file nor sent to the sandbox.

    Raises:
        TypeError: not a text.
    """
    if not isinstance(action, str):
        raise TypeError(f"expected an action of type str; got {type(action).__name__}: {action!r:.80}")
    return action.encode("utf-8", "replace").decode("utf-8")


def format_action(analysis: str, workflow: str) -> str:
    """Write an action the way `parse_action` reads it.

    Example:
        >>> print(format_action("Ask once.", "def solver(agent, task): ..."))
        Ask once.
        <BLANKLINE>
        ```python
        def solver(agent, task): ...
        ```
    """
    return f"{analysis.strip()}\n\n{fences.fenced(workflow)}"


def _problem(text: str) -> str:
    found = [block for block in fences.blocks(text) if block.language in fences.PYTHON]
    if found and not found[-1].closed and not any(block.closed for block in found):
        return "the ```python block is not closed; end it with a line of three backticks"
    if found:
        return "no ```python block defines a function `solver(agent, task)`"
    return "there is no ```python block; expected complete Python code that defines `solver(agent, task)`"
