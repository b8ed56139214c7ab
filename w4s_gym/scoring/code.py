"""Grades programs: takes the source out of an answer and runs hidden tests against it in the sandbox."""

from __future__ import annotations

import ast
import asyncio
import re
import warnings

from w4s_gym.benchmark import Item, RunTests, never_blocks
from w4s_gym.errors import SandboxUnavailable
from w4s_gym.sandbox.inside import fences
from w4s_gym.sandbox.inside.thoughts import without_leading_thoughts
from w4s_gym.sandbox.types import Limits, TestJob
from w4s_gym.scoring.syntax import compiles

LONGEST_PROGRAM = 100_000
"""Characters; a longer answer is no program anyone wants and scores 0."""

TEST_LIMITS = Limits(cpu_seconds=10.0, wall_seconds=40.0, absolute_seconds=80.0, memory_mb=512)
"""Limits of hidden tests: the slowest canonical solution (MBPP 123) takes 5 seconds of CPU time."""


def parse_python(source: str) -> ast.Module:
    """Parse trusted Python source; warnings about its style are not shown.

    Raises:
        SyntaxError: the source is no Python.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def extract_program(answer: str, entry_point: str, prompt: str = "") -> str:
    """Return the source in an answer.

    That is the fenced block which defines `entry_point` and compiles (of several the last one), else the last block
    that defines it, else the last one that compiles behind the prompt, else the last one. The whole answer counts
    where it has no fenced block, or where the function's definition stands in front of all fences: they are then part
    of its texts. Thoughts in front are left out. Nothing is compiled in this process; blocks for milliseconds when
    there are several candidates.

    Args:
        answer: the reply.
        entry_point: name of the function to find.
        prompt: source that will stand in front of the program.
    """
    text = fences.plain_lines(without_leading_thoughts(answer))
    definition = _definition(entry_point)
    found = fences.blocks(text)
    whole = definition.search(text)
    if not found or (whole is not None and whole.start() < found[0].start and compiles(text)):
        return text
    block = fences.program(text, lambda source: definition.search(source) is not None, lambda s: compiles(prompt + s))
    if block is not None:
        return block.source
    readings = list(fences.readings(text))
    if len(readings) == 1:
        return readings[0].source
    return next((b.source for b in readings if compiles(prompt + b.source)), found[-1].source)


def public_job(item: Item, answer: str) -> TestJob:
    """Return the job that runs the public examples of `item` against the program in `answer`; see `extract_program`."""
    return _job(item, answer, "\n".join(item.public_tests) + "\n")


@never_blocks
async def grade_code(item: Item, answer: str, run_tests: RunTests) -> float:
    """Return 1.0 if the program in `answer` passes the hidden tests of `item`, else 0.0.

    `item.context` may hold `prompt`, which is kept in front of the program (imports and helpers, or the head of the
    function that the answer completes), and `setup`, which runs before the tests on the tester's side.

    Raises:
        SandboxUnavailable: the tests could not be run at all, which says nothing about the answer.
    """
    if len(answer) > LONGEST_PROGRAM or not answer.strip():
        return 0.0
    job = await asyncio.to_thread(_job, item, answer, item.hidden_tests)
    outcome = await run_tests(job)
    if outcome.status == "infrastructure":
        reason = outcome.error.text() if outcome.error else "no reason given"
        raise SandboxUnavailable(f"expected the tests of item {item.id} to run; the sandbox failed: {reason}")
    return float(outcome.status == "ok")


def _job(item: Item, answer: str, tests: str) -> TestJob:
    if item.entry_point is None:
        raise ValueError(f"expected an entry point; item {item.id} has none")
    prompt = item.context.get("prompt", "")
    return TestJob(
        candidate=prompt + extract_program(answer, item.entry_point, prompt),
        entry_point=item.entry_point,
        tests=tests,
        setup=item.context.get("setup", ""),
        limits=TEST_LIMITS,
    )


def _definition(name: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(name)}\b", re.MULTILINE)
