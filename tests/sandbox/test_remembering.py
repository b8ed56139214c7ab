"""A program, or a test of one, that its text decides runs once in a process."""

import asyncio

import pytest

from w4s_gym.latest import Latest
from w4s_gym.sandbox import Limits, RememberingSandbox, Sandbox, SandboxConfig, TestJob
from w4s_gym.sandbox.remembering import decides

RIGHT = TestJob("def f(x): return 2 * x", "f", "assert f(2) == 4")


@pytest.fixture
def runs(monkeypatch):
    """Counts what really runs, and forgets what other tests remembered."""
    for memory in ("_runs", "_tests"):
        monkeypatch.setattr(f"w4s_gym.sandbox.remembering.{memory}", Latest(100))
    counted = []

    def counting(really):
        def run(self, what, **options):
            counted.append(what)
            return really(self, what, **options)

        return run

    for method in ("run_program", "run_tests"):
        monkeypatch.setattr(Sandbox, method, counting(getattr(Sandbox, method)))
    return counted


def program(source, **options):
    with RememberingSandbox() as sandbox:
        return asyncio.run(sandbox.run_program(source, **options))


def run_tests(job, config=None):
    with RememberingSandbox(config) as sandbox:
        return asyncio.run(sandbox.run_tests(job))


@pytest.mark.parametrize(
    "source",
    ["def solution():\n    return 6 * 7", "1 / 0", "'a' * 3", "from fractions import Fraction\nstr(Fraction(1, 3))"],
)
def test_a_program_runs_once_whatever_the_seed(runs, source):
    with Sandbox() as sandbox:
        expected = asyncio.run(sandbox.run_program(source))
    runs.clear()
    first, second = program(source, seed=1), program(source, seed=2)
    assert len(runs) == 1
    assert second == first, "with the seconds of the first run"
    assert (first.status, first.value, first.error) == (expected.status, expected.value, expected.error)


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.random()",
        "import time\ntime.time()",
        "import numpy as np\nint(np.arange(3)[1])",
        "__import__('ran' + 'dom').getrandbits(64)",
        "import os\nos.getpid()",
        "[1, 2]",
        "'a' * 20_000",
    ],
    ids=["chance", "clock", "another package", "a hidden import", "process", "a list could be changed", "long"],
)
def test_what_its_text_does_not_decide_or_could_be_changed_runs_again(runs, source):
    assert program(source, seed=1).status == "ok"
    assert program(source, seed=2).status == "ok"
    assert len(runs) == 2


def test_what_a_busy_machine_decides_runs_again(runs):
    quick = Limits(cpu_seconds=0.2, wall_seconds=0.5, absolute_seconds=5)
    for _ in range(2):
        assert program("while True: pass", limits=quick).status in ("timeout_cpu", "timeout_wall")
    assert len(runs) == 2
    assert program("7").value == program("7", limits=quick).value
    assert len(runs) == 4, "other limits may end otherwise"


def test_a_test_runs_once_and_fails_again_as_it_did(runs):
    wrong = TestJob("def f(x): return x", "f", RIGHT.tests)
    assert [run_tests(RIGHT).status, run_tests(RIGHT).status, len(runs)] == ["ok", "ok", 1]
    first, second = run_tests(wrong), run_tests(wrong)
    assert first.status == "error" and first.error == second.error
    assert len(runs) == 2
    run_tests(RIGHT, SandboxConfig(memory_mb=900))
    assert len(runs) == 3, "another sandbox"


@pytest.mark.parametrize(
    "job",
    [
        TestJob("import random\ndef f(x): return 2 * x", "f", RIGHT.tests),
        TestJob(RIGHT.candidate, "f", "import time\n" + RIGHT.tests),
        TestJob(RIGHT.candidate, "f", RIGHT.tests, setup="import random"),
    ],
    ids=["candidate", "tests", "setup"],
)
def test_a_test_with_chance_in_it_runs_again(runs, job):
    assert run_tests(job).status == run_tests(job).status == "ok"
    assert len(runs) == 2


def test_every_text_of_several_must_decide():
    assert decides("x = 1", "y = 2")
    assert not decides("x = 1", "import random")
