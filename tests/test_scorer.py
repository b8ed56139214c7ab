"""A benchmark as a plain function of a workflow's source."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import w4s_gym
from w4s_gym.errors import BudgetExceeded, ConfigError, ExecutorUnavailable, ProtocolError
from w4s_gym.registration import register_environments

SOLVER = """def solver(agent, task):
    return agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}], return_dict_keys=["answer"], instructions="right in %d of 10"
    )[0]
"""
register_environments()  # the toy benchmark too


@pytest.fixture
def scorer(scripted):
    made = []

    def make(**options):
        options = {"validation_size": 8, "test_size": 4, **options}
        made.append(w4s_gym.make_scorer("W4S-Toy-v0", executor=scripted, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_it_scores_as_the_environment_does_and_tells_what_failed(scorer, toy_env):
    score, feedback = scorer(feedback_items=0)(SOLVER % 6)
    env = toy_env(validation_size=8, test_size=4)
    evaluation = env.evaluate_workflow(SOLVER % 6)
    assert 0 < score == evaluation.accuracy < 1
    assert feedback.startswith(f"Accuracy on 8 validation items: {score:.3f}.")
    failed = [item.task for item, r in zip(env.split.validation, evaluation.items, strict=True) if r.score == 0]
    assert sorted(re.findall(r"Question: (.*)", feedback)) == sorted(failed)
    assert "TESTMARK" not in feedback and all(item.task not in feedback for item in env.split.test)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "solver"),
        ("def solver(agent, task)\n    return 1", "SyntaxError"),
        ("def solver(agent, task):\n    return undefined", "NameError"),
        ("def solver(agent, task):\n    return 'text'", "NoAnswer"),
        ("x" * 200_000, "too long"),
        ("\ud800", ""),
    ],
)
def test_what_is_the_workflows_fault_scores_nothing_and_asks_nothing(scorer, scripted, source, why):
    score, feedback = scorer()(source)
    assert score == 0.0 and why in feedback
    assert scripted.requests == []


def test_what_is_not_its_fault_is_no_score(scorer, scripted):
    limited = scorer(budget={"calls": 10})
    assert limited(SOLVER % 10)[0] == 1.0 and not limited.exhausted
    with pytest.raises(BudgetExceeded, match="cap of 10"):
        limited(SOLVER % 9)
    assert limited.exhausted and limited.ledger.usage.calls <= 10

    def fail(request):
        raise ExecutorUnavailable("down")

    scripted.fail = fail
    with pytest.raises(ExecutorUnavailable):
        scorer()(SOLVER % 9)
    with pytest.raises(ProtocolError, match="as text"):
        scorer()({"program": SOLVER})
    with pytest.raises(ConfigError):
        scorer(bugdet={})


def test_a_workflow_is_paid_once_whoever_asks(scorer, scripted):
    one = scorer()
    with ThreadPoolExecutor(4) as pool:
        threads = list(pool.map(one, [SOLVER % share for share in (6, 9, 6, 9)]))
    awaited = asyncio.run(one.ascore(SOLVER % 6))
    assert threads[0] == threads[2] == awaited and threads[1] == threads[3] != threads[0]
    assert len(scripted.requests) == 2 * (8 + 2), "validation items, and those that failures are shown from"


def test_it_knows_the_task_the_seeds_and_the_test_items(scorer):
    one = scorer(draw=3)
    assert "Add two numbers." in one.task and "call_json_format_llm" in one.task and "You have" not in one.task
    assert list(one.seeds) == ["direct"]
    assert len(one.evaluate_test(one.seeds["direct"]).items) == 4
