import dataclasses
import json
import threading

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

from w4s_gym._loop import run_sync
from w4s_gym.benchmark import get_benchmark, register_benchmark
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.episode import Episode
from w4s_gym.errors import (
    ConfigError,
    ExecutorUnavailable,
    ProtocolError,
    SandboxUnavailable,
    UnknownBenchmark,
    UnknownExecutor,
)
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.registration import register_environments
from w4s_gym.wrappers import FoldRepairs

BROKEN = "Try.\n\n```python\ndef solver(agent, task):\n    x = 1\n    return undefined_name\n```"
SYNTAX = "Try.\n\n```python\ndef solver(agent, task)\n    return 1\n```"


def test_reset_measures_seeds_and_shows_the_best(toy_env):
    env = toy_env()
    observation, info = env.reset(seed=1)
    assert env.seed_evaluations["direct"].accuracy == info["state"]["accuracy"] == info["state"]["best"] > 0
    assert "Add two numbers." in observation
    assert info["messages"][-1]["role"] == "user"
    assert info["messages"][-1]["content"] in observation
    assert info["simulated"] is True


def test_rewards_follow_best_and_last(toy_env, right_in):
    env = toy_env(max_turns=5)
    env.reset(seed=1)
    rewards = []
    for share in (8, 6, 7, 10, 10):
        _, reward, terminated, truncated, info = env.step(right_in(share))
        rewards.append(reward)
        assert info["evaluation"]["status"] == "evaluated"
        assert not truncated
    assert rewards == [1.0, 0.0, 0.5, 1.0, 0.0]
    assert terminated
    assert env.state.best == 1.0
    with pytest.raises(ProtocolError, match="reset"):
        env.step(right_in(5))


def test_failed_self_test_asks_for_repairs_then_skips(toy_env, scripted):
    env = toy_env(max_turns=2, max_repairs=3)
    env.reset(seed=1)
    before, asked = env.state, len(scripted.requests)
    for left in (3, 2, 1):
        observation, reward, terminated, _, info = env.step(BROKEN)
        assert info["state"]["needs_repair"] and info["state"]["repairs_left"] == left
        assert "NameError" in observation and "return undefined_name" in observation
        assert (reward, terminated, info["state"]["turn"]) == (0.0, False, 0)
    _, reward, _, _, info = env.step(SYNTAX)
    assert (reward, info["state"]["turn"], info["evaluation"]["status"]) == (0.0, 1, "skipped")
    assert "SyntaxError" in info["evaluation"]["error"] and info["evaluation"]["line"] == 1
    assert env.state.workflow == before.workflow and env.state.accuracy == before.accuracy
    assert len(scripted.requests) == asked  # no validation run was paid


def test_a_repaired_action_is_measured_in_the_same_turn(toy_env, right_in):
    env = toy_env()
    env.reset(seed=1)
    env.step(BROKEN)
    _, reward, _, _, info = env.step(right_in(9))
    assert reward == 1.0 and info["state"]["turn"] == 1 and info["evaluation"]["repairs"] == 1
    # what follows continues the chat with the repaired action, not with the failed one
    assert all("undefined_name" not in m["content"] for m in info["messages"])


@pytest.mark.parametrize("action", ["", "no code at all", "```python\nprint(1)\n```", "\udcff\x00"])
def test_actions_without_a_workflow_cost_nothing(toy_env, scripted, action):
    env = toy_env()
    env.reset(seed=1)
    asked = len(scripted.requests)
    _, _, _, _, info = env.step(action)
    assert info["evaluation"]["status"] == "needs_repair" and "NoWorkflow" in info["evaluation"]["error"]
    assert len(scripted.requests) == asked
    with pytest.raises(TypeError, match="type str"):
        env.step(3)


def test_workflow_that_returns_a_wrong_type_is_told_so(toy_env):
    env = toy_env()
    env.reset(seed=1)
    _, _, _, _, info = env.step('Try.\n\n```python\ndef solver(agent, task):\n    return {"answer": None}\n```')
    assert "answer" in info["evaluation"]["error"]
    assert info["state"]["needs_repair"]


def test_candidates_are_tried_without_advancing(toy_env, right_in):
    env = toy_env()
    env.reset(seed=1)
    state = env.state
    candidates = env.evaluate_candidates([right_in(4), right_in(9), BROKEN, right_in(7)])
    assert env.state is state
    assert [c.status for c in candidates] == ["evaluated", "evaluated", "needs_repair", "evaluated"]
    assert [c.reward for c in candidates] == [0.0, 1.0, None, 1.0]
    assert [c.new_best for c in candidates] == [False, True, False, True]
    _, reward, _, _, _ = env.advance(candidates[1])
    assert reward == 1.0 and env.state.accuracy == candidates[1].accuracy
    assert env.step(right_in(8))[4]["evaluation"]["new_best"] is False


def test_best_of_m_repairs_and_advances_with_the_best(toy_env, right_in):
    env = toy_env()
    env.reset(seed=1)
    seen = []

    def repair(chats):
        seen.extend(chats)
        return [right_in(10)] * len(chats)

    candidates, chosen, (_, reward, *_) = env.step_best_of([right_in(6), BROKEN, right_in(8)], repair)
    assert chosen == 1 and reward == 1.0
    assert "NameError" in seen[0][-1]["content"] and seen[0][-2]["content"] == BROKEN
    assert [text for _, text in candidates[1].attempts] == [BROKEN, right_in(10)]
    assert candidates[1].attempts[1][0][-1] == seen[0][-1]


def test_equal_workflows_are_paid_once_and_charged_as_cached(toy_env, right_in, scripted):
    env = toy_env()
    env.reset(seed=1)
    asked, before = len(scripted.requests), env.ledger.usage
    env.evaluate_candidates([right_in(6)] * 3)
    assert len(scripted.requests) - asked == 16
    used = env.ledger.usage
    assert used.calls - before.calls == 48 and used.cached_calls - before.cached_calls == 32
    assert used.dollars - before.dollars == pytest.approx(0.016)


def test_same_seed_same_episode_whatever_came_before(toy_env, right_in):
    first, second = toy_env(), toy_env()
    second.reset(seed=9)
    second.step(right_in(9))
    traces = []
    for env in (first, second):
        steps = [env.reset(seed=4)]
        steps += [env.step(right_in(s)) for s in (3, 8)]
        traces.append(json.dumps(steps))
    assert traces[0] == traces[1]


def test_endpoint_failure_is_no_reward(toy_env, scripted, right_in):
    env = toy_env()
    env.reset(seed=1)

    def down(request):
        raise ExecutorUnavailable("the endpoint is down")

    scripted.fail = down
    candidate = env.evaluate_candidates([right_in(9)])[0]
    assert candidate.status == "infrastructure" and candidate.reward is None
    turn = env.state.turn
    _, reward, terminated, truncated, info = env.step(right_in(8))
    assert (reward, terminated, truncated, info["evaluation"]["masked"]) == (0.0, False, True, True)
    assert env.state.turn == turn
    scripted.fail = lambda request: None
    env.reset()
    assert env.step(right_in(9))[1] == 1.0


def test_items_that_could_not_be_asked_leave_the_accuracy(toy_env, scripted, right_in):
    env = toy_env(limits={"coverage": 0.5})
    env.reset(seed=1)
    env.step(right_in(10))

    def partly(request):
        if "Item number 3" in request.messages[-1]["content"]:
            raise ExecutorUnavailable("down")

    scripted.fail = partly
    evaluation = env.evaluate_workflow("# fresh\n" + env.state.workflow)
    lost = evaluation.statuses.get("infrastructure", 0)
    assert lost > 0 and evaluation.accuracy == 1.0 and len(evaluation.scored) == 16 - lost


def test_budget_of_the_run_stops_before_it_is_passed(toy_env, scripted, right_in):
    env = toy_env(budget={"calls": 40})
    env.reset(seed=1)
    env.step(right_in(9))
    _, _, _, truncated, info = env.step(right_in(8))
    assert truncated and info["evaluation"]["masked"] and "cap of 40" in info["evaluation"]["error"]
    assert len(scripted.requests) <= 40 and env.ledger.usage.calls <= 40


def test_item_cap_is_the_workflows_fault(toy_env):
    env = toy_env(limits={"item_caps": {"calls": 3}})
    env.reset(seed=1)
    greedy = (
        "Try.\n\n```python\ndef solver(agent, task):\n    for _ in range(9):\n"
        '        agent.call_llm(messages=[{"role": "user", "content": task}])\n    return {"answer": "1"}\n```'
    )
    _, reward, _, _, info = env.step(greedy)
    assert reward == 0.0 and info["evaluation"]["statuses"]["budget"] == 16


def test_model_argument_is_ignored_and_told(toy_env, right_in):
    env = toy_env(window=5)
    env.reset(seed=1)
    observation, *_ = env.step(right_in(9).replace("temperature=0.0", 'temperature=0.0, model="gpt-5"'))
    assert "`model=` was ignored" in observation


def test_nothing_of_the_test_split_shows(toy_env, right_in):
    env = toy_env(max_turns=3, feedback_cases=40)
    texts = [json.dumps(env.reset(seed=1))]
    hidden = [item.task for item in env.split.test]
    env.evaluate_test(env.state.workflow)
    for share in (2, 4, 9):
        texts.append(json.dumps(env.step(right_in(share))))
    assert len(hidden) == 12
    assert not any(task in text for task in hidden for text in texts)
    shown = [item.task for item in env.split.validation]
    assert any(task in text for task in shown for text in texts)


def test_test_results_do_not_change_rewards(toy_env, right_in):
    plain, peeking = toy_env(), toy_env()
    for env in (plain, peeking):
        env.reset(seed=1)
    peeking.evaluate_test(right_in(10).split("```python\n")[1].split("```")[0])
    assert plain.step(right_in(10))[1] == peeking.step(right_in(10))[1] == 1.0
    assert plain.evaluate_test(plain.state.workflow).accuracy == 1.0


def test_render_shows_workflow_history_and_failures(toy_env, right_in, capsys):
    env = toy_env(render_mode="ansi")
    env.reset(seed=1)
    env.step(right_in(7))
    text = env.render()
    assert "right in 7 of 10" in text and "turn 1" in text and "seed direct" in text and "answer: wrong" in text
    assert "simulated" in text
    human = toy_env(render_mode="human")
    human.reset(seed=1)
    assert "seed direct" in capsys.readouterr().out


def test_journal_has_every_evaluation(toy_env, right_in, tmp_path):
    env = toy_env(journal=str(tmp_path / "journal.jsonl"))
    env.reset(seed=1)
    env.step(right_in(7))
    records = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    kinds = [r["kind"] for r in records]
    assert kinds == ["evaluation", "reset", "evaluation", "candidate", "memorising", "turn"]
    assert all(r["simulated"] and r["split"] for r in records)
    assert records[1]["isolation"] == env.reset()[1]["isolation"] and records[1]["isolation"]["level"] != ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_turns": 0}, "max_turns"),
        ({"prompt_style": "short"}, "'compact', 'guided'; got 'short'"),
        ({"reward": {"tier": 1}}, "kind, floor"),
        ({"limits": {"cpu": 1}}, "known fields"),
        ({"budget": {"euros": 1}}, "calls, tokens, dollars"),
        ({"seed_workflows": ["indirect"]}, "one or more of direct; got"),
        ({"seed_workflows": [["direct"]]}, "a list of texts or None; got"),
        ({"seed_workflows": []}, "one or more"),
        ({"seed_workflows": "direct"}, "a list"),
        ({"validation_size": -3}, "validation_size.*at least 1; got -3"),
        ({"test_size": 0}, "test_size"),
        ({"validation_size": "8"}, "a whole number or None; got '8'"),
        ({"split_seed": 1.5}, "split_seed"),
        ({"split": "random"}, "'seeded', 'published'"),
        ({"self_test": "no"}, "true or false; got 'no'"),
        ({"max_turn": 3}, "did you mean 'max_turns'"),
        ({"foo": 1}, "unknown 'foo'.*validation_size"),
        ({"budget": {"calls": -1}}, "at least 0"),
        ({"limits": {"coverage": 2}}, "coverage"),
        ({"limits": {"run": {"cpu_second": 2}}}, r"limits\.run: unknown 'cpu_second', did you mean 'cpu_seconds'"),
        ({"limits": {"run": {"memory_mb": "1G"}}}, "memory_mb: expected a whole number"),
        ({"racing": {"look_evry": 4}}, "look_every"),
        ({"racing": 4}, "expected an object"),
        ({"sandbox": {"require": "L9"}}, "require"),
        ({"executor_config": "x"}, "an object"),
        ({"executor_config": {"temperature": 0}}, "unknown 'temperature'"),
        ({"executor": "sim:gpt-9"}, "gpt-4o-mini"),
        ({"executor": "openai"}, "openai:<model>"),
        ({"executor": "record:x.jsonl@nonsense"}, "nonsense"),
        ({"executor": 3}, "an Executor; got 3"),
        ({"journal": "no/such/folder/journal.jsonl"}, "a folder that exists"),
    ],
)
def test_bad_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        WorkflowDesignEnv("Toy", **options)


def test_an_episode_starts_with_the_chosen_seeds_only():
    env = WorkflowDesignEnv("GSMSymbolic", validation_size=8, test_size=2, seed_workflows=["CoT-SC", "CoT"])
    observation, _ = env.reset(seed=0)
    assert list(env.seed_evaluations) == ["CoT", "CoT-SC"]
    assert "ProgramOfThought" not in observation
    env.close()


def test_unknown_names(toy_env):
    with pytest.raises(UnknownBenchmark, match="MGSM"):
        WorkflowDesignEnv("Nothing")
    with pytest.raises(ConfigError, match="unknown 'language'"):
        toy_env(language="en")
    with pytest.raises(ConfigError, match="unknown 'langage', did you mean 'language'"):
        WorkflowDesignEnv("MGSM", langage="de")
    with pytest.raises(ConfigError, match="language: expected a text"):
        WorkflowDesignEnv("MGSM", language=3)
    with pytest.raises(ProtocolError, match="reset"):
        toy_env().step("x")


def test_unknown_executor():
    with pytest.raises(UnknownExecutor, match="sim:"):
        WorkflowDesignEnv("Toy", "nonsense")


def test_an_executor_object_of_ones_own_serves_several_environments_and_is_left_open(scripted, right_in):
    closed = []

    async def close():
        closed.append(True)

    scripted.lock, scripted.close = threading.Lock(), close  # clients hold what cannot be copied
    register_environments()
    for _ in range(2):
        env = gym.make("W4S-Toy-v0", executor=scripted, max_turns=1)
        env.reset(seed=1)
        assert env.step(right_in(9))[1] == 1.0
        assert env.unwrapped.state.card.executor == "scripted"
        env.close()
    assert scripted.requests and not closed
    with pytest.raises(ConfigError, match="executor_config"):
        gym.make("W4S-Toy-v0", executor=scripted, executor_config={"cache": "off"})


def test_nothing_is_opened_before_it_is_used_and_all_is_closed(toy_env, right_in, tmp_path):
    path = tmp_path / "journal.jsonl"
    env = toy_env(journal=str(path))
    assert not path.exists()
    env.close()
    env.reset(seed=1)
    written = path.read_text()
    env.close()
    path.rename(tmp_path / "moved.jsonl")
    env.reset(seed=1)
    assert path.read_text() == written, "a closed journal is opened anew"


def test_close_twice_and_go_on(toy_env, right_in):
    env = toy_env()
    env.reset(seed=1)
    env.close()
    env.close()
    env.reset(seed=1)
    assert env.step(right_in(9))[1] == 1.0


OFFLINE = ["W4S-GSMSymbolic-v0", "W4S-HumanEval-v0"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("env_id", OFFLINE)
def test_check_env_without_warnings(env_id):
    env = gym.make(env_id, validation_size=6, test_size=6)
    check_env(env.unwrapped)
    env.close()


def test_spec_survives_json():
    env = gym.make("W4S-GSMSymbolic-v0", max_turns=2, executor="sim:gpt-4o-mini")
    assert gym.envs.registration.EnvSpec.from_json(env.spec.to_json()) == env.spec


def make_small():
    return gym.make("W4S-GSMSymbolic-v0", validation_size=6, test_size=6, max_turns=2, prompt_style="compact")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_vector_environments(kind):
    if kind == "sync":
        envs = gym.vector.SyncVectorEnv([make_small] * 2)
    else:
        envs = gym.vector.AsyncVectorEnv([make_small] * 2, shared_memory=False)
    observations, _ = envs.reset(seed=3)
    assert all("task GSMSymbolic" in o for o in observations)
    observations, rewards, *_ = envs.step(tuple(envs.single_action_space.sample() for _ in range(2)))
    assert all("result" in o for o in observations) and rewards.shape == (2,)
    envs.close()


def test_shared_memory_is_refused():
    with pytest.raises(ValueError, match="shared_memory=False"):
        gym.vector.AsyncVectorEnv([make_small])


def test_fold_repairs_makes_one_step(toy_env, right_in):
    env = FoldRepairs(toy_env(), repair=lambda messages: right_in(9))
    env.reset(seed=1)
    _, reward, _, _, info = env.step(BROKEN)
    assert reward == 1.0 and info["evaluation"]["repairs"] == 1


def test_questions_of_a_confidential_benchmark_stay_out_of_prompts(toy_env, right_in):
    register_benchmark("ToySecret", lambda: dataclasses.replace(get_benchmark("Toy"), confidential=True))
    env = toy_env("ToySecret", feedback_cases=40)
    texts = [json.dumps(env.reset(seed=1)), json.dumps(env.step(right_in(4)))]
    assert not any(item.task in text for item in env.split.validation for text in texts)


def test_grader_that_cannot_run_is_no_wrong_answer(toy_env, right_in):
    async def broken(item, answer, run_tests):
        raise SandboxUnavailable("no tests can run here")

    register_benchmark("ToyUngraded", lambda: dataclasses.replace(get_benchmark("Toy"), grade=broken))
    with pytest.raises(ExecutorUnavailable):
        toy_env("ToyUngraded").reset(seed=1)


def test_public_examples_run_with_the_prompt_in_front():
    """A completion that relies on the prompt's imports passes; an endless loop is paid once."""
    env = WorkflowDesignEnv("HumanEval", validation_size=4, test_size=4)
    env.reset(seed=0)
    item = next(i for i in env.split.validation if i.public_tests)
    workflow = (
        "def solver(agent, task, entry_point):\n"
        f"    good = agent.exec_test({item.gold!r}, entry_point)\n"
        "    bad = agent.exec_test('def ' + entry_point + '(*a):\\n    return object', entry_point)\n"
        '    return {"answer": str(good["result"]) + str(bad["result"]) + bad["feedback"]}\n'
    )
    evaluator = Evaluator(env.benchmark, env.executor, env.sandbox, EvaluationLimits())
    result = run_sync(evaluator.run_item(workflow, item, Episode(0, env.ledger)))
    env.close()
    assert result.answer.startswith("TrueFalse"), result
    assert "public example fails" in result.answer


def test_with_a_fixed_draw_later_episodes_pay_nothing_for_what_was_measured(toy_env, scripted):
    env = toy_env(draw=3, requests=True, prompt_style="guided", max_turns=1)
    env.reset(seed=0)
    asked, first = len(scripted.requests), env.candidate_messages(4)
    assert {request.draw for request in scripted.requests} == {3}
    env.reset(seed=1)
    assert len(scripted.requests) == asked
    assert env.candidate_messages(4) != first, "another episode asks for other changes"
    free = toy_env()
    free.reset(seed=0)
    free.reset(seed=1)
    assert {request.draw for request in scripted.requests[asked:]} == {0, 1}
