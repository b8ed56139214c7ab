"""Grades programs: takes the source out of an answer and runs hidden tests against it in the sandbox."""

from __future__ import annotations

import ast
import re
import warnings

from w4s_gym.benchmark import Item, RunTests
from w4s_gym.errors import SandboxUnavailable
from w4s_gym.sandbox.types import Limits, TestJob

LONGEST_PROGRAM = 100_000
"""Characters; a longer answer is no program anyone wants and scores 0."""

TEST_LIMITS = Limits(cpu_seconds=10.0, wall_seconds=40.0, absolute_seconds=80.0, memory_mb=512)
"""Limits of hidden tests: the slowest canonical solution (MBPP 123) takes 5 seconds of CPU time."""

_FENCE = re.compile(r"^[ \t]*```[ \t]*([A-Za-z0-9_+-]*)[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)


def parse_python(source: str) -> ast.Module:
    """Parse trusted Python source; warnings about its style are not shown.

    Raises:
        SyntaxError: the source is no Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def extract_program(answer: str, entry_point: str) -> str:
    """Return the source in an answer: the last fenced block that defines `entry_point`, else the last one, else all."""
    blocks = [match[2] for match in _FENCE.finditer(answer)]
    for block in reversed(blocks):
        if _defines(block, entry_point):
            return block
    return blocks[-1] if blocks else answer


def public_job(item: Item, answer: str) -> TestJob:
    """Return the job that runs the public examples of `item` against the program in `answer`."""
    return _job(item, answer, "\n".join(item.public_tests) + "\n")


async def grade_code(item: Item, answer: str, run_tests: RunTests) -> float:
    """Return 1.0 if the program in `answer` passes the hidden tests of `item`, else 0.0.

    `item.context` may hold `prompt`, which is kept in front of the program (imports and helpers, or the head of the
    function that the answer completes), and `setup`, which runs before the tests on the tester's side.

    Raises:
        SandboxUnavailable: the tests could not be run at all, which says nothing about the answer.
    """
    if len(answer) > LONGEST_PROGRAM or not answer.strip():
        return 0.0
    outcome = await run_tests(_job(item, answer, item.hidden_tests))
    if outcome.status == "infrastructure":
        reason = outcome.error.text() if outcome.error else "no reason given"
        raise SandboxUnavailable(f"expected the tests of item {item.id} to run; the sandbox failed: {reason}")
    return float(outcome.status == "ok")


def _job(item: Item, answer: str, tests: str) -> TestJob:
    if item.entry_point is None:
        raise ValueError(f"expected an entry point; item {item.id} has none")
    return TestJob(
        candidate=item.context.get("prompt", "") + extract_program(answer, item.entry_point),
        entry_point=item.entry_point,
        tests=tests,
        setup=item.context.get("setup", ""),
        limits=TEST_LIMITS,
    )


def _defines(source: str, name: str) -> bool:
    return re.search(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", source, re.MULTILINE) is not None
