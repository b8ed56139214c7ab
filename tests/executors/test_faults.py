"""Evaluations against an endpoint that fails: every answer is accounted for, and the endpoint changes no score."""

from __future__ import annotations

import asyncio
import time

import pytest

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.episode import Episode
from w4s_gym.errors import ExecutorUnavailable
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors import make_executor
from w4s_gym.ledger import Ledger, Reservation
from w4s_gym.results import Evaluation
from w4s_gym.sandbox import Sandbox

DIRECT = """
def solver(agent, task):
    messages = [{"role": "user", "content": task}]
    return agent.call_json_format_llm(messages=messages, temperature=0.0, return_dict_keys=["answer"])[0]
"""
SUMS = Benchmark(
    name="Sums",
    description="Sums of two numbers.",
    answer_format="The sum.",
    load=lambda: [Item(f"sum/{a}", f"{a} + 7 =", str(a + 7)) for a in range(5000)],
    grade=pure_grader(lambda gold, answer: float(answer == gold)),
    seeds=(),
)
CONFIG = {"attempt_seconds": 3.0, "backoff_seconds": 0.02, "price": {"input": 1.0, "output": 4.0}, "reasks": 5}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def evaluate(server, sandbox, count: int, **config) -> tuple[Evaluation, Ledger, float]:
    async def measure() -> Evaluation:
        executor = make_executor("openai:m", {**CONFIG, "base_url": server.base_url, **config})
        evaluator = Evaluator(SUMS, executor, sandbox, EvaluationLimits())
        try:
            return await evaluator.evaluate(DIRECT, SUMS.load()[:count], Episode(0, ledger))
        finally:
            await executor.close()

    ledger, started = Ledger("run"), time.monotonic()
    return asyncio.run(measure()), ledger, time.monotonic() - started


@pytest.mark.parametrize(("count", "patience"), [(150, 3.0), pytest.param(5000, 6.0, marks=pytest.mark.slow)])
def test_thirty_percent_faults_change_no_score_and_no_reply_is_lost_or_billed_twice(serve, sandbox, count, patience):
    healthy, _, _ = evaluate(serve("--mistakes", "0.25"), sandbox, count)
    assert 0.6 < healthy.accuracy < 0.9

    server = serve("--mistakes", "0.25", "--faults", "0.3", "--latency", "0.002", "--hang", "60")
    measured, ledger, seconds = evaluate(server, sandbox, count, attempt_seconds=patience)
    report = server.report()
    print(
        f"\n{count} items in {seconds:.1f} s, {report['requests']} requests, faults {report['faults']}, {ledger.usage}"
    )

    assert all(report["faults"].values()), "every kind of fault must have been met"
    assert sum(report["faults"].values()) == pytest.approx(0.3 * report["requests"], rel=0.35)
    assert measured.statuses == {"ok": count}
    assert [r.score for r in measured.items] == [r.score for r in healthy.items]
    # The ledger knows every reply that was handed over, and what it cost ...
    usage = ledger.usage
    assert usage.calls == report["delivered"]
    assert (usage.prompt_tokens, usage.completion_tokens) == (report["prompt_tokens"], report["completion_tokens"])
    assert usage.dollars == pytest.approx((usage.prompt_tokens + 4 * usage.completion_tokens) / 1e6)
    assert ledger.reserved == Reservation()
    # ... and how many were billed but never arrived whole.
    assert usage.unanswered >= report["lost"]
    # A usable reply was handed over once for each item, never twice.
    assert report["served"] == {f"{a} + 7 =": 1 for a in range(count)}


def test_an_endpoint_that_is_down_masks_the_evaluation(serve, sandbox):
    server = serve("--faults", "1.0", "--kinds", "server_error")
    with pytest.raises(ExecutorUnavailable, match="90%"):
        evaluate(server, sandbox, 20, attempts=2)


def test_items_that_could_not_be_asked_are_left_out(serve, sandbox):
    # With 4% failures and no time for retries, some items cannot be asked; the rest is above the coverage of 90%.
    server = serve("--mistakes", "0.25", "--faults", "0.04", "--kinds", "rate_limit")
    healthy, _, _ = evaluate(serve("--mistakes", "0.25"), sandbox, 100)
    measured, _, _ = evaluate(server, sandbox, 100, call_seconds=0.001)
    missing = {r.item_id for r in measured.items if r.status == "infrastructure"}
    assert len(missing) == server.report()["faults"]["rate_limit"] > 0
    kept = [r.score for r in healthy.items if r.item_id not in missing]
    assert measured.accuracy == pytest.approx(sum(kept) / len(kept))


@pytest.mark.parametrize(
    "rule",
    [
        {"status": 400, "error": {"error": {"message": "Model Not Exist"}}},
        {"status": 402, "error": {"error": {"message": "Model Not Exist, Insufficient Balance"}}},
    ],
)
def test_an_evaluation_that_is_refused_shows_the_first_cause_and_promises_nothing(serve, sandbox, rule):
    server = serve()
    server.obey(rule)
    with pytest.raises(ExecutorUnavailable, match="Model Not Exist") as caught:
        evaluate(server, sandbox, 20)
    assert "cache" not in str(caught.value)


@pytest.mark.parametrize("thoughts", ["", " \n", "<think>Let me see, 3 + 7", "<think>done</think>"])
def test_replies_that_are_nothing_but_thoughts_are_told(serve, sandbox, thoughts):
    server = serve()
    server.obey({"content": thoughts, "finish": "MAX_TOKENS"})
    measured, _, _ = evaluate(server, sandbox, 5, reasks=0)
    assert measured.accuracy == 0.0
    assert any("ended at their token limit" in note for note in measured.notes)
