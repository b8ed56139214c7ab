"""A sandbox that runs a program once in a process, where nothing but its text decides what it does.

Code benchmarks test the same program again and again: of 4,391 test runs of one search on HumanEval, 991 differed.
"""

from __future__ import annotations

import re
from collections.abc import Hashable

from w4s_gym.latest import Latest
from w4s_gym.sandbox.inside.preload import suffices
from w4s_gym.sandbox.sandbox import Sandbox
from w4s_gym.sandbox.types import PROGRAM_LIMITS, Limits, RunOutcome, Status, TestJob, TestOutcome

_LASTING: tuple[Status, ...] = ("ok", "error", "no_result")
"""Statuses that do not depend on how busy the machine is."""
_CHANGES = re.compile(r"random|samples|time|thread|pid|\bid\(")
"""What makes a program end differently with another seed, or at another moment; a word too many does no harm."""
_LONGEST = 10_000
"""Characters of a value that is worth keeping."""

_runs = Latest[Hashable, RunOutcome](20_000)
_tests = Latest[Hashable, TestOutcome](20_000)


class RememberingSandbox(Sandbox):
    """Runs what may end differently each time, and looks the rest up; charges stay those of the first run."""

    async def run_program(self, source: str, *, seed: int = 0, limits: Limits = PROGRAM_LIMITS) -> RunOutcome:
        """Run a program as `Sandbox` does, unless this process has."""
        key = source, limits, self._config
        found = _runs.get(key)
        if found is None:
            found = await super().run_program(source, seed=seed, limits=limits)
            if found.status in _LASTING and _is_small(found) and decides(source):
                _runs.keep(key, found)
        return found

    async def run_tests(self, job: TestJob) -> TestOutcome:
        """Run tests as `Sandbox` does, unless this process has."""
        key = job, self._config
        found = _tests.get(key)
        if found is None:
            found = await super().run_tests(job)
            if found.status in _LASTING and decides(job.candidate, job.tests, job.setup):
                _tests.keep(key, found)
        return found


def decides(*sources: str) -> bool:
    """Whether sources alone decide what they do, as far as their text shows: neither a seed, nor the clock.

    >>> decides("def solution(): return 6 * 7"), decides("from random import choice"), decides("import numpy")
    (True, False, False)
    """
    return suffices(*sources) and not any(_CHANGES.search(source) for source in sources)


def _is_small(outcome: RunOutcome) -> bool:
    """Whether a value is plain and short, so that those who get it again cannot change it."""
    value = outcome.value
    return value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) < _LONGEST)
