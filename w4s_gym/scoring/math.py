"""Scores mathematical answers by their value, with `math-verify` in processes of their own.

`math-verify` sets its time limits with signals, which fail outside the main thread, and a hostile expression can keep
sympy busy for ever. So worker processes compare, under a limit of CPU time.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections import OrderedDict

from w4s_gym.benchmark import Item, RunTests, never_blocks
from w4s_gym.errors import ConfigError
from w4s_gym.scoring.text import last_boxed, marked_answer, tail
from w4s_gym.scoring.worker import Workers

LONGEST_EXPRESSION = 500
"""Characters; a longer answer scores 0 unless it is the gold text."""

COMPARE_SECONDS = 2.0
"""CPU time of one comparison; ordinary ones take milliseconds."""

_WALL_SECONDS = 60.0
"""Wall clock of one comparison, for a machine that is very busy."""

_REMEMBERED = 10_000
_workers = Workers("math_worker.py", max(2, os.cpu_count() or 1))
_too_hard: OrderedDict[str, None] = OrderedDict()
"""Answers that used up their time against the gold answer and against 0 too, so whatever they are compared with."""


def score_math(gold: str, answer: str) -> float:
    r"""Return 1.0 if `answer` has the value of `gold`, else 0.0. Safe in threads.

    Args:
        gold: LaTeX of the correct answer, without `\boxed` and dollar signs.
        answer: the reply; its last `\boxed{...}` counts, else what follows "answer is", else all of it.

    Raises:
        ConfigError: `math-verify` is not installed.
        SandboxUnavailable: the worker process does not start.
    """
    text = tail(answer)
    expression = last_boxed(text)
    if expression is None:
        expression = marked_answer(text) or text
    expression = expression.strip().strip("*`").strip().strip("$").strip().rstrip(".")
    if not expression or not gold.strip():
        return 0.0
    if "".join(expression.split()) == "".join(gold.split()):
        return 1.0
    if len(expression) > LONGEST_EXPRESSION or expression in _too_hard:
        return 0.0
    equal = _compare(gold, expression)
    if equal is None and _compare("0", expression) is None:
        _too_hard[expression] = None
        while len(_too_hard) > _REMEMBERED:
            _too_hard.popitem(last=False)
    return float(equal is True)


@never_blocks
async def grade_math(item: Item, answer: str, run_tests: RunTests) -> float:
    """Grade with `score_math`, without blocking the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_workers.threads, score_math, item.gold, answer)


def _compare(gold: str, expression: str) -> bool | None:
    """Return whether two expressions are equal; None if that takes too long."""
    if importlib.util.find_spec("math_verify") is None:
        raise ConfigError("expected the package `math-verify` to score MATH; install `w4s-gym[math]`")
    result = _workers.ask([gold, expression, COMPARE_SECONDS], _WALL_SECONDS)
    return result if isinstance(result, bool) else None
