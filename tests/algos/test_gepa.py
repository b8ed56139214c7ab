import json

import pytest

from w4s_gym.algos.gepa import GEPA, GEPAConfig
from w4s_gym.errors import BudgetExceeded, ConfigError, ExecutorUnavailable

gepa = pytest.importorskip("gepa")


def improves(right_in):
    """A reflector that makes the workflow right on one more item of ten each time, from the prompt alone."""

    def reply(chat, number):
        told = chat[-1]["content"]
        share = max((n for n in range(5, 11) if f"right in {n} of 10" in told), default=5)
        return right_in(min(10, share + 1))

    return reply


def play(search, env, count, start=0):
    return [search.collect(env, seed=start + k) for k in range(count)]


def test_it_evolves_the_best_seed_by_reflection(toy_env, scripted_policy, right_in):
    policy = scripted_policy(improves(right_in))
    env = toy_env()
    first, *later = play(GEPA(policy), env, 12)
    assert (first.best_accuracy, first.rows) == (env.seed_evaluations["direct"].accuracy, [])
    bests = [batch.best_accuracy for batch in later]
    assert bests == sorted(bests) and bests[-1] > first.best_accuracy
    found = env.evaluate_workflow(later[-1].best_workflow)
    assert found.accuracy == bests[-1]
    assert "Current workflow:" in policy.chats[0][-1]["content"]
    assert "Correct answer: " in policy.chats[0][-1]["content"]
    rows = [row for batch in later for row in batch.rows]
    assert {row.status for row in rows} <= {"evaluated", "skipped"}
    assert any(row.new_best and row.reward == 1.0 and row.accuracy == row.accuracy for row in rows)


def test_a_search_that_was_saved_goes_on_as_if_it_had_not_stopped(toy_env, scripted_policy, right_in, tmp_path):
    policy = scripted_policy(improves(right_in))
    whole = play(GEPA(policy), toy_env(), 8)
    search = GEPA(policy)
    play(search, toy_env(), 4)
    search.save(tmp_path)
    other = GEPA(policy)
    other.load(tmp_path)
    rest = play(other, toy_env(), 4, start=4)
    assert [(b.best_workflow, b.metrics, b.rows) for b in rest] == [
        (b.best_workflow, b.metrics, b.rows) for b in whole[4:]
    ]
    assert json.loads((tmp_path / "gepa.json").read_text())["iterations"] == 4


def test_going_on_pays_for_the_seed_workflow_once(toy_env, scripted_policy, right_in):
    env = toy_env(validation_size=16)
    search = GEPA(scripted_policy(lambda chat, n: "no workflow"))
    search.collect(env, seed=0)
    before = env.ledger.usage.calls
    search.collect(env, seed=1)
    assert env.ledger.usage.calls - before == 3  # the parent on its three items; what the policy wrote asks nothing


def test_what_the_budget_prevents_is_raised_and_no_state_is_lost(toy_env, scripted_policy, right_in):
    env = toy_env(budget={"calls": 40})  # the seed twice and a few items
    search = GEPA(scripted_policy(improves(right_in)))
    search.collect(env, seed=0)
    with pytest.raises(BudgetExceeded):
        play(search, env, 10)
    assert search.iterations >= 1 and search.measured


def test_a_reflector_that_cannot_be_asked_ends_the_iteration(toy_env, scripted_policy):
    def fail(chat, number):
        raise ExecutorUnavailable("no reflector")

    search = GEPA(scripted_policy(fail))
    env = toy_env()
    search.collect(env, seed=0)
    with pytest.raises(ExecutorUnavailable, match="no reflector"):
        search.collect(env, seed=1)
    assert search.iterations == 1


def test_compact_policies_see_what_they_know(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in(7), "compact")
    play(GEPA(policy), toy_env(), 2)
    assert policy.chats[0][-1]["content"].endswith("improve")


def test_it_ends_where_nothing_can_be_measured(toy_env, scripted_policy):
    search = GEPA(scripted_policy(lambda chat, n: ""), GEPAConfig(iterations=2))
    play(search, toy_env(), 2)
    assert search.finished
    with pytest.raises(ConfigError, match="at least 1"):
        GEPAConfig(minibatch=0)
