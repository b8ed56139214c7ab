import pytest

from w4s_gym.algos.adas import SEEDS, Adas, AdasConfig

BROKEN = "Name: broken\n\n```python\ndef solver(agent, task):\n    return nonsense\n```"
WRONG = 'Name: wrong\n\n```python\ndef solver(agent, task):\n    return {"answer": "no"}\n```'


def names(adas):
    return [design.name for design in adas.archive]


def test_a_generation_adds_a_measured_design_to_the_seed_designs(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: "Name: **clever**\n" + right_in(9))
    adas = Adas(policy)
    env = toy_env()
    batch = adas.collect(env, seed=1)
    assert names(adas) == [*SEEDS, "clever"]
    assert batch.best_accuracy == adas.archive[-1].accuracy > 0.8
    assert "right in 9 of 10" in batch.best_workflow
    assert adas.archive[-1].low <= adas.archive[-1].median <= adas.archive[-1].high
    adas.collect(env, seed=2)
    assert len(adas.archive) == len(SEEDS) + 2, "every measured design is kept, repeats too"


def test_two_reflections_stand_before_the_measurement(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in({2: 3, 4: 5, 6: 7}[len(chat)]))
    adas = Adas(policy)
    batch = adas.collect(toy_env(), seed=1)
    assert [len(chat) for chat in policy.chats] == [2, 4, 6]
    assert "right in 7 of 10" in adas.archive[-1].workflow
    drafts, final = batch.rows[:2], batch.rows[2]
    assert [row.reward for row in drafts] == [None, None], "drafts were never measured"
    assert final.accuracy == adas.archive[-1].accuracy
    assert final.reward == 1.0


def test_the_fitness_shown_is_an_interval_with_the_median(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in(9))
    adas = Adas(policy, AdasConfig(reflections=0))
    adas.collect(toy_env(), seed=1)
    shown = policy.chats[0][-1]["content"]
    assert shown.count("95% bootstrap interval") == len(SEEDS)
    assert adas.archive[0].fitness in shown


@pytest.mark.parametrize("failing", [BROKEN, WRONG, "no code at all"])
def test_a_failing_design_is_fixed_within_three_evaluations(toy_env, scripted_policy, right_in, failing):
    policy = scripted_policy(lambda chat, n: right_in(8) if len(chat) == 6 else failing)
    adas = Adas(policy, AdasConfig(reflections=0))
    batch = adas.collect(toy_env(), seed=1)
    assert len(policy.chats) == 3
    assert [row.kind for row in batch.rows] == ["design", "repair", "repair"]
    assert "right in 8 of 10" in adas.archive[-1].workflow


def test_a_design_that_never_ran_is_dropped_and_its_error_was_shown(toy_env, scripted_policy):
    policy = scripted_policy(lambda chat, n: BROKEN)
    adas = Adas(policy, AdasConfig(reflections=0))
    batch = adas.collect(toy_env(), seed=1)
    assert names(adas) == list(SEEDS)
    assert "NameError" in policy.chats[1][-1]["content"]
    assert [row.accuracy for row in batch.rows] == [None, None, None]
    assert adas.generation == 1


def test_a_design_that_runs_but_is_always_wrong_is_kept_with_its_own_fitness(toy_env, scripted_policy):
    adas = Adas(scripted_policy(lambda chat, n: WRONG), AdasConfig(reflections=0))
    adas.collect(toy_env(), seed=1)
    assert adas.archive[-1].name == "wrong"
    assert adas.archive[-1].accuracy == 0.0
    assert '"no"' in adas.archive[-1].workflow


def test_rows_earn_the_reward_of_the_environment(toy_env, scripted_policy):
    adas = Adas(scripted_policy(lambda chat, n: WRONG), AdasConfig(reflections=0))
    rows = adas.collect(toy_env(reward={"kind": "relative"}), seed=1).rows
    assert {(row.reward, row.reward_kind) for row in rows} == {(-1.0, "relative")}


@pytest.mark.parametrize(("rule", "shown"), [("all", len(SEEDS)), ("none", 0), ("parents", 2)])
def test_the_context_rule_decides_what_is_shown(toy_env, scripted_policy, right_in, rule, shown):
    policy = scripted_policy(lambda chat, n: right_in(9))
    adas = Adas(policy, AdasConfig(context=rule, parents=2, reflections=0))
    adas.collect(toy_env(), seed=1)
    assert policy.chats[0][-1]["content"].count("Fitness:") == shown


def test_a_resumed_search_goes_on_exactly_where_it_was(toy_env, scripted_policy, right_in, tmp_path):
    def make():
        config = AdasConfig(context="parents", reflections=0)
        return Adas(scripted_policy(lambda chat, n: right_in(n % 9)), config)

    whole = make()
    env = toy_env()
    for k in range(4):
        whole.collect(env, seed=k)
    first = make()
    env = toy_env()
    for k in range(2):
        first.collect(env, seed=k)
    first.save(tmp_path)
    second = make()
    second.load(tmp_path)
    env = toy_env()
    for k in range(2, 4):
        second.collect(env, seed=k)
    assert second.archive == whole.archive


def test_a_compact_meta_agent_gets_the_request_it_knows(toy_env, scripted_policy, right_in):
    policy = scripted_policy(lambda chat, n: right_in(9), "compact")
    adas = Adas(policy)
    env = toy_env(prompt_style="compact")
    adas.collect(env, seed=1)
    assert len(policy.chats) == 1, "no reflection"
    content = policy.chats[0][0]["content"]
    assert content.startswith("task Toy\n")
    assert content.endswith("improve")
    assert all(name in content for name in SEEDS)
    best = max(adas.archive[:-1], key=lambda d: d.accuracy)
    assert best.workflow.strip() in content


def test_it_ends_after_its_generations(toy_env, scripted_policy, right_in):
    adas = Adas(scripted_policy(lambda chat, n: right_in(9)), AdasConfig(generations=1, reflections=0))
    assert not adas.finished
    adas.collect(toy_env(), seed=1)
    assert adas.finished
