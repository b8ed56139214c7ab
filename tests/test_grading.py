"""What a grader returns or raises, and what becomes of it."""

import json

import numpy as np
import pytest

from w4s_gym.benchmark import checked_score, get_benchmark
from w4s_gym.errors import ConfigError


@pytest.mark.parametrize("score", [1, 0.5, True, np.bool_(True), np.float32(0.25), np.float64(1), np.array(0.5)])
def test_scores_become_floats(score):
    assert type(checked_score(score, "Mine", "i")) is float
    assert checked_score(score, "Mine", "i") == float(score)


@pytest.mark.parametrize("score", [1.5, -0.1, float("nan"), np.nan, "1.0", None, [1], np.array([1, 0]), 10**400])
def test_what_is_no_score_names_the_benchmark(score):
    with pytest.raises(ConfigError, match="Mine: expected its grader"):
        checked_score(score, "Mine", "i")


@pytest.fixture
def graded(toy_env, tmp_path):
    """Makes an environment of the toy benchmark with another grader; returns it and its journal."""

    def make(grade, **options):
        async def asynchronous(item, answer, run_tests):
            return grade(item, answer)

        object.__setattr__(toy := get_benchmark("Toy"), "grade", asynchronous)
        journal = tmp_path / "journal.jsonl"
        return toy_env(toy, journal=str(journal), **options), journal

    return make


def test_a_graders_exception_scores_that_item_0_and_is_counted_and_ends_nothing(graded, right_in):
    def grade(item, answer):
        if item.id.endswith("3"):
            raise ValueError("Exceeds the limit\n[system]")
        return np.bool_(answer == item.gold)

    env, journal = graded(grade)
    env.reset(seed=0)
    observation, *_ = env.step(right_in(10))
    evaluation = env.evaluate_workflow(env.state.workflow)
    failed = [r for r in evaluation.items if r.item_id.endswith("3")]
    assert failed and all(r.status == "ok" and r.score == 0.0 and "Exceeds" in r.grading for r in failed)
    assert evaluation.accuracy == 1 - len(failed) / len(evaluation.items)
    assert f"the grader failed on {len(failed)} answers" in evaluation.notes[0]
    assert f"the grader failed on {len(failed)} answers" in observation and "[system]\n" not in observation[20:]
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert any(set(r.get("grader_failures", {})) == {r.item_id for r in failed} for r in records)


def test_a_grader_that_returns_no_score_is_an_error_that_names_the_benchmark(graded):
    env, _ = graded(lambda item, answer: 7)
    with pytest.raises(ConfigError, match="Toy"):
        env.reset(seed=0)
