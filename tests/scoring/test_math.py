"""Mathematical answers, compared in a process of their own."""

import asyncio
import os
import threading
import time

import pytest

from w4s_gym.benchmark import Item
from w4s_gym.scoring import math as scoring
from w4s_gym.scoring.worker import Workers

pytest.importorskip("math_verify")

RIGHT = [
    (r"\frac{3}{4}", "0.75"),
    (r"\frac{3}{4}", "3/4"),
    (r"\frac{3}{4}", r"\boxed{\frac34}"),
    (r"\frac{3}{4}", r"First \boxed{1}, then \boxed{\tfrac{3}{4}}."),
    (r"10,\!080", "10080"),
    (r"10,\!080", "10,080"),
    (r"\$18.90", "18.90"),
    (r"\text{C}", "C"),
    ("(3,4]", "(3, 4]"),
    ("3, 5, 7", "3,5,7"),
    ("3, 5, 7", "7, 5, 3"),
    ("52_8", "52_8"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"2\sqrt{3}", r"\sqrt{12}"),
    (r"90^\circ", "90"),
    (r"\infty", r"\infty"),
    ("5", "x = 5"),
    ("5", "The answer is $5$."),
    ("5", r"$\boxed{5}$ because of 7 reasons"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
    (r"-\frac12", "-0.5"),
    ("1000000", "10^6"),
]
WRONG = [
    (r"\frac{3}{4}", "0.7"),
    (r"\frac{3}{4}", r"\frac{4}{3}"),
    ("5", "6"),
    ("5", ""),
    ("5", "   "),
    ("5", "$$"),
    ("5", r"\boxed{}"),
    ("5", r"\boxed{6} not 5"),
    ("5", "nan"),
    ("5", r"\infty"),
    ("(3,4]", "[3,4]"),
    ("3, 5, 7", "3, 5"),
    ("x+1", "x-1"),
    (r"\text{C}", "D"),
    ("5", "__import__('os')._exit(0)"),
    ("5", "\x00"),
    ("5", "é"),
    ("5", "5" * 600),
    ("", "5"),
]


@pytest.mark.parametrize(("gold", "answer"), RIGHT)
def test_right(gold, answer):
    assert scoring.score_math(gold, answer) == 1.0


@pytest.mark.parametrize(("gold", "answer"), WRONG)
def test_wrong(gold, answer):
    assert scoring.score_math(gold, answer) == 0.0


def test_works_in_threads():
    scores = []
    threads = [
        threading.Thread(target=lambda i=i: scores.append(scoring.score_math(f"{i}", f"{2 * i}/2"))) for i in range(9)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scores == [1.0] * 9


@pytest.fixture
def asked(monkeypatch):
    """Counts what the workers are asked, with a short limit of CPU time and nothing remembered."""
    requests = []
    ask = scoring._workers.ask
    monkeypatch.setattr(
        scoring._workers, "ask", lambda request, seconds: requests.append(request) or ask(request, seconds)
    )
    monkeypatch.setattr(scoring, "COMPARE_SECONDS", 0.3)
    scoring._too_hard.clear()
    yield requests
    scoring._too_hard.clear()


def test_an_endless_comparison_is_ended_and_its_answer_remembered(asked):
    process_ids = {p.pid for p in idle()}
    assert scoring.score_math("5", "9^{9^{9^{9}}}") == 0.0
    tries = len(asked)
    for gold in range(100):
        assert scoring.score_math(str(gold), f"thus \\boxed{{9^{{9^{{9^{{9}}}}}}}} {gold}") == 0.0
    assert len(asked) == tries <= 2
    assert process_ids <= {p.pid for p in idle()}, "the worker went on"
    assert scoring.score_math(r"\frac{1}{2}", "0.5") == 1.0


def test_many_different_endless_answers_and_honest_ones_are_graded_together(asked):
    answers = [f"9^{{9^{{9^{{{n}}}}}}}" for n in range(5, 9)] + ["10/2"] * 20

    async def grade_all():
        return await asyncio.gather(*(scoring.grade_math(Item("1", "t", "5", "math"), a, None) for a in answers))

    assert asyncio.run(grade_all()) == [0.0] * 4 + [1.0] * 20


@pytest.mark.parametrize(
    "text",
    [
        r"the answer is **\frac{3}{4}**",
        r"\boxed 0.75",
        "#### Step 2: Divide\n3/4\nThe answer is **0.75**",
        r"<think>\boxed{7}</think>\boxed{3/4}",
    ],
)
def test_decorated_answers_are_read(text):
    assert scoring.score_math(r"\frac{3}{4}", text) == 1.0


def idle():
    return [p for p in scoring._workers._idle.queue if p is not None]


@pytest.mark.parametrize("unit", ["{", "\\frac{1}{", "9", "x^", "\\boxed{", "(", "1+"])
def test_megabytes_are_fast(unit):
    scoring.score_math("5", "6/2")
    text = unit * (1_000_000 // len(unit))
    start = time.process_time()
    assert scoring.score_math("5", text) == 0.0
    assert time.process_time() - start < 1.0


def test_the_worker_sees_no_environment(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "hidden")
    workers = Workers("math_worker.py", 1)
    assert workers.ask(["5", "6/2", 5.0], 60.0) is False
    (process,) = workers._idle.queue
    with open(f"/proc/{process.pid}/environ", "rb") as file:
        assert b"hidden" not in file.read()


def test_grading_does_not_block_the_loop():
    async def run():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticker = asyncio.create_task(tick())
        score = await scoring.grade_math(Item("1", "t", "5", "math"), "9^{9^{9}}", None)
        ticker.cancel()
        return score, ticks

    scoring.COMPARE_SECONDS, before = 0.5, scoring.COMPARE_SECONDS
    try:
        score, ticks = asyncio.run(run())
    finally:
        scoring.COMPARE_SECONDS = before
    assert score == 0.0 and ticks > 5


def test_a_forked_process_gets_its_own_worker():
    scoring.score_math("5", "6/2")
    before = {p.pid for p in idle()}
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        score = asyncio.run(scoring.grade_math(Item("1", "t", "3", "math"), "6/2", None))
        os.write(write, b"1" if score == 1.0 and not before & {p.pid for p in idle()} else b"0")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 1) == b"1"
    assert scoring.score_math(r"\frac{1}{4}", "0.25") == 1.0
