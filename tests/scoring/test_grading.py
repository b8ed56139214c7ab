"""Graders of a stranger: they run beside the event loop, within their time, whatever the answer."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
import time

import pytest

from w4s_gym.benchmark import Item, pure_grader
from w4s_gym.errors import ConfigError
from w4s_gym.plugins import load_plugin
from w4s_gym.sandbox.types import TestOutcome
from w4s_gym.scoring import grading
from w4s_gym.scoring.number import score_number

ITEM = Item("1", "What is 1 + 1?", "2")
BACKTRACKS = re.compile(r"(a+)+$")
LOCK = threading.Lock()


def backtracks(gold, answer):
    return float(BACKTRACKS.match(answer) is not None)


def leaves(gold, answer):
    sys.exit(3)


def needs_a_package(gold, answer):
    raise ConfigError("install it")


def holds_what_cannot_be_sent(gold, answer, lock=LOCK):
    with lock:
        return answer == gold


async def _no_tests(job):
    raise AssertionError("no tests are run")


def graded(grader, answer="2", run_tests=_no_tests):
    """Grade one answer, and note for how long the event loop stood still at most."""

    async def both():
        longest, over = 0.0, False

        async def tick():
            nonlocal longest
            while not over:
                start = time.perf_counter()
                await asyncio.sleep(0.01)
                longest = max(longest, time.perf_counter() - start)

        ticking = asyncio.create_task(tick())
        try:
            return await grading.grade_off_loop(grader, ITEM, answer, run_tests)
        finally:
            await asyncio.sleep(2 * grading._GRACE_SECONDS)
            over = True
            await ticking
            stalls.append(longest)

    return asyncio.run(both())


stalls: list[float] = []


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(grading, "SECONDS", 0.3)
    graded(pure_grader(backtracks), "a")  # the process has started
    stalls.clear()


def test_a_regular_expression_without_end_costs_its_item_only(short):
    with pytest.raises(TimeoutError, match=r"0\.3 s of CPU time"):
        graded(pure_grader(backtracks), "a" * 40 + "b")
    assert max(stalls) < 2.0, "the event loop stood still"
    assert graded(pure_grader(backtracks), "aaa") == 1.0, "the next answer is graded"


async def _computes_without_end(item, answer, run_tests):
    while True:
        pass


async def _waits_without_end(item, answer, run_tests):
    await asyncio.sleep(60)


@pytest.mark.parametrize("grader", [_computes_without_end, _waits_without_end])
def test_a_grader_without_end_is_given_up_and_its_thread_ends(short, grader):
    before = threading.active_count()
    with pytest.raises(TimeoutError, match=r"longer than 0\.3 s"):
        graded(grader)
    if grader is _computes_without_end:
        deadline = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= before


def test_the_tests_that_a_grader_runs_have_limits_of_their_own(short):
    async def grader(item, answer, run_tests):
        outcomes = await asyncio.gather(run_tests("first"), run_tests("second"))
        return sum(outcome.status == "ok" for outcome in outcomes) / 2

    async def run_tests(job):
        await asyncio.sleep(0.5)
        return TestOutcome("ok")

    assert graded(grader, run_tests=run_tests) == 1.0


def test_a_function_of_a_file_is_found_by_the_process(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import re\nNUMBER = re.compile('[0-9]+')\ndef last(text):\n    return NUMBER.findall(text)[-1]\n"
        "def score(gold, answer):\n    return last(answer) == gold\n"
    )
    grader = pure_grader(load_plugin(f"{tmp_path}/mine.py:score", "a function"))
    assert graded(grader, "1 + 1 is 2") == 1.0 and graded(grader, "2 or 3") == 0.0
    with pytest.raises(grading.GraderError, match="list index") as error:
        graded(grader, "none")
    assert error.value.kind == "IndexError"


def test_what_a_function_does_to_its_process_stays_there():
    with pytest.raises(grading.GraderError, match="3") as error:
        graded(pure_grader(leaves))
    assert error.value.kind == "SystemExit"
    with pytest.raises(ConfigError, match="install it"):
        graded(pure_grader(needs_a_package))
    assert graded(pure_grader(lambda gold, answer: "much")) == "'much'", "what is no score is told as it was"


def test_a_function_that_cannot_be_sent_runs_in_a_thread_and_says_so(caplog):
    here = threading.current_thread()

    def score(gold, answer):
        return holds_what_cannot_be_sent(gold, answer, LOCK) and threading.current_thread() is not here

    assert graded(pure_grader(score)) is True
    assert "cannot be sent to a process" in caplog.text


def test_our_own_graders_are_called_where_they_stand(monkeypatch):
    monkeypatch.setattr(grading._workers, "ask", None)
    assert graded(pure_grader(score_number)) == 1.0
