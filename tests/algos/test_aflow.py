import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.action import parse_action
from w4s_gym.algos.aflow import AFlow, AFlowConfig, Experience, Node, selection_probabilities
from w4s_gym.algos.aflow_operators import OPERATORS, with_operators, without_operators
from w4s_gym.errors import ConfigError


def modify(right_in, number, share):
    return f"Modification: change number {number}\n\n" + right_in(share)


@given(
    scores=st.lists(st.floats(0, 100), min_size=1, max_size=6),
    alpha=st.floats(0, 1),
    uniform=st.floats(0, 1),
)
def test_selection_follows_the_formula(scores, alpha, uniform):
    probabilities = selection_probabilities(scores, alpha, uniform)
    total = sum(math.exp(alpha * (s - max(scores))) for s in scores)
    for score, p in zip(scores, probabilities, strict=True):
        assert p == pytest.approx(
            uniform / len(scores) + (1 - uniform) * math.exp(alpha * (score - max(scores))) / total
        )
    assert sum(probabilities) == pytest.approx(1)


def test_the_constants_are_those_of_the_published_code():
    assert (AFlowConfig().alpha, AFlowConfig().uniform) == (0.2, 0.3)
    with pytest.raises(ConfigError, match="uniform"):
        AFlowConfig(uniform=2.0)


def test_parents_are_drawn_from_the_first_node_and_the_best_others(scripted_policy):
    aflow = AFlow(scripted_policy(lambda chat, n: ""), AFlowConfig(candidates=4))
    aflow.nodes = [Node(i, None, "", "", [s]) for i, s in enumerate([0.3, 0.5, 0.9, 0.1, 0.6, 0.7])]
    drawn = Counter(aflow.choose_parent(Random(k)) for k in range(4000))
    assert set(drawn) == {0, 2, 5, 4}
    expected = selection_probabilities([30.0, 90.0, 70.0, 60.0], 0.2, 0.3)
    for node, p in zip((0, 2, 5, 4), expected, strict=True):
        assert drawn[node] / 4000 == pytest.approx(p, abs=0.03)


def test_the_first_round_measures_the_blank_start_and_later_ones_a_modification(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: modify(right_in, n, 9))
    aflow = AFlow(policy)
    env = toy_env()
    first = aflow.collect(env, seed=1)
    assert policy.chats == []
    assert aflow.nodes[0].workflow.count("agent.call") == 1
    second = aflow.collect(env, seed=2)
    assert second.best_accuracy > first.best_accuracy
    assert aflow.nodes[1].parent == 0
    entry = aflow.nodes[0].experience[0]
    assert entry.modification.startswith("change number")
    assert entry.succeeded
    assert second.rows[0].reward == 1.0


def test_rows_earn_the_reward_of_the_environment(toy_env, scripted_policy, right_in):
    texts = iter(["no code", modify(right_in, 1, 9)])
    aflow = AFlow(scripted_policy(lambda chat, n: next(texts)))
    env = toy_env(reward={"kind": "relative"})
    first = aflow.collect(env, seed=1)
    failed, measured = aflow.collect(env, seed=2).rows
    assert failed.reward == -1.0
    assert measured.reward == (measured.accuracy - first.best_accuracy) / first.best_accuracy


def test_experience_is_shown_as_what_it_was(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: modify(right_in, n, 1))
    aflow = AFlow(policy, AFlowConfig(candidates=1))
    env = toy_env()
    aflow.collect(env, seed=1)
    aflow.nodes[0].experience = [Experience("add a vote", 0.4, 0.6), Experience("drop the hint", 0.4, 0.2)]
    aflow.collect(env, seed=2)
    shown = policy.chats[0][-1]["content"]
    assert "add a vote: 40.0 -> 60.0 (helped" in shown
    assert "drop the hint: 40.0 -> 20.0 (did not help" in shown
    assert shown.count("- Question:") == 3


def test_a_tried_modification_is_rejected_and_asked_for_again_but_not_for_ever(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: "Modification: Add a vote!\n\n" + right_in(n % 10))
    aflow = AFlow(policy, AFlowConfig(candidates=1, tries=3))
    env = toy_env()
    aflow.collect(env, seed=1)
    aflow.collect(env, seed=2)
    batch = aflow.collect(env, seed=3)
    assert len(aflow.nodes) == 2
    assert [row.reward for row in batch.rows] == [None, None, None]
    assert len(policy.chats) == 1 + 3
    assert aflow.rounds == 3


def test_the_same_program_is_no_new_modification(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: modify(right_in, n, 4))
    aflow = AFlow(policy, AFlowConfig(candidates=1))
    env = toy_env()
    for k in range(3):
        aflow.collect(env, seed=k)
    assert len(aflow.nodes) == 2


def test_repeats_are_independent_draws(toy_env, scripted, scripted_policy, right_in):
    aflow = AFlow(scripted_policy(lambda chat, n: modify(right_in, n, 6)), AFlowConfig(repeats=3))
    aflow.collect(toy_env(), seed=5)
    assert len(aflow.nodes[0].scores) == 3
    assert len({request.draw for request in scripted.requests}) == 3


def test_it_stops_when_the_best_three_have_not_changed_for_five_rounds(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: modify(right_in, n, 8))
    aflow = AFlow(policy, AFlowConfig(rounds=100))
    aflow.nodes = [Node(i, None, "", "x", [0.9]) for i in range(3)]
    aflow.nodes[0].workflow = parse_action(right_in(9)).workflow
    env = toy_env()
    rounds = 0
    while not aflow.finished:
        aflow.collect(env, seed=rounds)
        rounds += 1
        assert rounds < 20
    assert rounds == 6


def test_a_resumed_search_goes_on_exactly_where_it_was(toy_env, scripted_policy, right_in, tmp_path):
    def make():
        return AFlow(scripted_policy(lambda chat, n: modify(right_in, n, n % 10)))

    whole = make()
    env = toy_env()
    for k in range(5):
        whole.collect(env, seed=k)
    first = make()
    env = toy_env()
    for k in range(3):
        first.collect(env, seed=k)
    first.save(tmp_path)
    second = make()
    second.load(tmp_path)
    env = toy_env()
    for k in range(3, 5):
        second.collect(env, seed=k)
    assert second.nodes == whole.nodes
    assert second.rounds == whole.rounds


def test_a_compact_meta_agent_gets_the_parent_as_current_workflow(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in(n % 10), "compact")
    aflow = AFlow(policy)
    env = toy_env(prompt_style="compact")
    aflow.collect(env, seed=1)
    aflow.collect(env, seed=2)
    content = policy.chats[0][0]["content"]
    assert content.startswith("task Toy\n")
    assert aflow.nodes[0].workflow.strip() in content


def test_operators_are_carried_by_the_workflows_that_call_them():
    plain = 'def solver(agent, task):\n    return {"answer": review(agent, task, "x")["feedback"]}'
    full = with_operators(plain)
    assert full.count("def review(") == 1
    assert "def revise(" not in full
    assert without_operators(full).strip() == plain
    own = "def review(agent, task, s):\n    return {}\n\n" + plain
    assert with_operators(own) == own
    assert with_operators("def solver(agent, task):\n    return agent.review(task)").count("def") == 1


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_operator_runs(toy_env, name):
    calls = {
        "custom": 'custom(agent, task, "Be brief.")',
        "answer_generate": "answer_generate(agent, task)",
        "sc_ensemble": 'sc_ensemble(agent, task, ["1", "2", "2"])',
        "programmer": "programmer(agent, task)",
        "test_solution": 'test_solution(agent, task, "def f(): pass", "f")',
        "review": 'review(agent, task, "2")["feedback"]',
        "revise": 'revise(agent, task, "2", "no")',
    }
    env = toy_env()
    env.reset(seed=0)
    workflow = with_operators(f"def solver(agent, task):\n    return {{'answer': str({calls[name]})}}")
    evaluation = env.evaluate_workflow(workflow)
    assert set(evaluation.statuses) == {"ok"}, [r.error for r in evaluation.items if r.error][:1]
