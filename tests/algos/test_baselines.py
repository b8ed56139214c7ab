import ast
from random import Random

import pytest

from w4s_gym.algos.baselines import CotSC, CotSCConfig, Direct, RandomEdits, RandomEditsConfig, SeedWorkflows, cot_sc
from w4s_gym.algos.hill_climber import HillClimber
from w4s_gym.algos.random_edits import random_edit
from w4s_gym.errors import ConfigError
from w4s_gym.workflows import hand_made_names, hand_made_workflow


def test_the_best_seed_workflow_is_the_seed_workflow(toy_env):
    env = toy_env()
    baseline = SeedWorkflows()
    batch = baseline.collect(env, seed=3)
    assert batch.best_workflow == env.state.history[0].workflow
    assert batch.best_accuracy == env.seed_evaluations["direct"].accuracy
    assert baseline.finished


def test_cot_sc_spends_the_tokens_it_is_given(toy_env):
    def tokens(votes):
        env = toy_env()
        env.reset(seed=1)
        usage = env.evaluate_workflow(cot_sc(votes, "number")).usage
        return (usage.prompt_tokens + usage.completion_tokens) / 16

    for votes in (1, 4, 20):
        baseline = CotSC(CotSCConfig(tokens(votes)))
        batch = baseline.collect(toy_env(), seed=1)
        assert batch.metrics["tokens"] == pytest.approx(tokens(votes), rel=0.1)
        assert f"num_of_response={baseline.votes}," in batch.best_workflow


def test_cot_sc_without_a_budget_is_the_usual_one(toy_env):
    baseline = CotSC()
    baseline.collect(toy_env(), seed=1)
    assert baseline.votes == 5
    assert cot_sc(5, "code") == hand_made_workflow("CoT-SC", "code")
    with pytest.raises(ConfigError, match="5 votes"):
        cot_sc(9, "code")


def test_cot_sc_in_plain_text_asks_without_keys_and_votes(toy_env, scripted):
    env = toy_env()
    baseline = CotSC(CotSCConfig(form="text"))
    batch = baseline.collect(env, seed=1)
    assert "call_llm" in batch.best_workflow and "num_of_response=5," in batch.best_workflow
    assert [request.n for request in scripted.requests if not request.json_keys] == [5] * 16
    compile(cot_sc(3, "number", "text"), "w", "exec")
    assert cot_sc(5, "code", "text") == hand_made_workflow("CoT-SC", "code"), "programs cannot be counted"


def test_a_model_that_is_asked_directly_gets_the_question_and_nothing_else(toy_env, scripted):
    env = toy_env()
    baseline = Direct()
    batch = baseline.collect(env, seed=1)
    assert baseline.finished and batch.best_accuracy >= 0
    asked = [request for request in scripted.requests if not request.json_keys]
    questions = {item.task for item in env.split.validation}
    assert {request.messages[-1]["content"] for request in asked} == questions
    assert {request.messages[0]["content"] for request in asked} == {"You are a helpful task solver."}


@pytest.mark.parametrize("kind", ["number", "code"])
def test_random_edits_compile_and_change_the_workflow(kind):
    edits = set()
    for name in hand_made_names(kind):
        source = hand_made_workflow(name, kind)
        for seed in range(12):
            random = Random(seed)
            edited = random_edit(random_edit(source, random), random)
            compile(edited, name, "exec")
            solver = next(n for n in ast.parse(edited).body if isinstance(n, ast.FunctionDef) and n.name == "solver")
            assert [a.arg for a in solver.args.args][: 3 if kind == "code" and "entry" in source else 2]
            edits.add(edited)
        assert ast.unparse(ast.parse(source)) not in edits
    assert len(edits) > 100


def test_random_edits_run(toy_env):
    env = toy_env(validation_size=2)
    env.reset(seed=0)
    workflows = [random_edit(hand_made_workflow("CoT", "number"), Random(seed)) for seed in range(8)]
    assert len(set(workflows)) > 5
    for evaluation in env.evaluate_workflows(workflows):
        assert set(evaluation.statuses) == {"ok"}


def test_best_of_random_edits_never_falls_and_counts_its_measurements(toy_env):
    env = toy_env()
    baseline = RandomEdits(RandomEditsConfig(candidates=3))
    best = [baseline.collect(env, seed=k).best_accuracy for k in range(3)]
    assert best == sorted(best)
    assert best[0] >= env.seed_evaluations["direct"].accuracy


def test_random_edits_resume(toy_env, tmp_path):
    whole, first = RandomEdits(RandomEditsConfig(3)), RandomEdits(RandomEditsConfig(3))
    env = toy_env()
    results = [whole.collect(env, seed=k) for k in range(3)]
    env = toy_env()
    for k in range(2):
        first.collect(env, seed=k)
    first.save(tmp_path)
    second = RandomEdits(RandomEditsConfig(3))
    second.load(tmp_path)
    again = second.collect(toy_env(), seed=2)
    assert again == results[2]


def test_the_hill_climber_moves_up_only(toy_env, scripted_policy, right_in):
    shares = iter([6, 2, 9, 3])
    climber = HillClimber(scripted_policy(lambda chat, n: right_in(next(shares))))
    env = toy_env(max_turns=10)
    turns, best = [], []
    for k in range(4):
        batch = climber.collect(env, seed=k)
        turns.append(env.state.turn)
        best.append(batch.best_accuracy)
    assert turns == [1, 1, 2, 2]
    assert best == sorted(best)
    assert best[0] < best[2]
