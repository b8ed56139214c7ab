"""Several executors in one workflow: who answers, who pays, and what the meta-agent is told."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import gymnasium as gym
import pytest

import w4s_gym
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError, UnknownExecutor
from w4s_gym.executor_pool import ExecutorPool, PoolMember, read_pool
from w4s_gym.executors import ChatReply, ChatRequest, Completion
from w4s_gym.registration import register_environments
from w4s_gym.study import CompareConfig, Comparison
from w4s_gym.study.best_workflow import write_best_workflow
from w4s_gym.usage import Usage

register_environments()  # the toy benchmark too
ASK = """def solver(agent, task):
    try:
        return {"answer": agent.call_llm(messages=[{"role": "user", "content": task}], model=%r)[0]}
    except Exception as error:
        return {"answer": f"{type(error).__name__}: {error}"}
"""
SIMULATED = {"small": "sim:gpt-3.5-turbo", "large": {"executor": "sim:gpt-4o-mini", "item_caps": {"calls": 3}}}


class Fixed:
    """Always gives the same answer, for 10 tokens."""

    simulated = False

    def __init__(self, name, dollars=0.0):
        self.name, self.dollars, self.asked = name, dollars, []

    async def complete(self, request):
        self.asked.append(request)
        usage = Usage(calls=request.n, prompt_tokens=6, completion_tokens=4, dollars=self.dollars)
        return ChatReply((Completion(self.name),) * request.n, usage)

    async def close(self):
        raise AssertionError("whoever made it closes it")


@pytest.fixture
def toy():
    made = []

    def make(executors, **options):
        made.append(WorkflowDesignEnv("Toy", executors=executors, validation_size=4, test_size=4, **options))
        return made[-1]

    yield make
    for env in made:
        env.close()


def answers(env, model):
    return {r.answer for r in env.evaluate_workflow(ASK % (model,)).items}


def test_model_chooses_and_the_first_is_the_default(toy):
    env = toy({"small": Fixed("s"), "large": Fixed("l")})
    assert [answers(env, model) for model in ("small", "large", None, "")] == [{"s"}, {"l"}, {"s"}, {"s"}]
    assert answers(env, "huge") == {"ValueError: expected model to be one of 'small', 'large'; got 'huge'"}
    assert not env.evaluate_workflow(ASK % "large").notes


def test_each_has_its_account_and_its_price(toy):
    priced = {"executor": Fixed("l"), "price": {"input": 1e6, "output": 2e6}}  # $1 and $2 a token
    env = toy({"small": Fixed("s", dollars=0.5), "large": priced})
    for model in ("small", "large", "large"):
        evaluation = env.evaluate_workflow(ASK % model, draw=1)
    usage = env.ledger.usage
    assert {name: (u.calls, u.cached_calls, u.dollars) for name, u in usage.by_executor.items()} == {
        "small": (4, 0, 2.0),
        "large": (8, 4, 4 * 14.0),  # measured once, charged twice
    }
    assert (usage.calls, usage.dollars, usage.full_dollars) == (12, 58.0, 114.0)
    assert evaluation.dollars_per_item == 14.0
    assert sum(usage.by_executor.values(), Usage()) == replace(usage, by_executor={})


def test_malformed_replies_count_for_who_wrote_them(toy):
    env = toy({"small": Fixed("s"), "large": Fixed("no JSON")})
    ask = "agent.call_json_format_llm(messages=[{'role': 'user', 'content': task}], "
    ask += "return_dict_keys=['answer'], model='large')"
    usage = env.evaluate_workflow(f"def solver(agent, task):\n    return {ask}[0]\n").usage
    assert usage.of("large").malformed == usage.malformed == 8  # four items, and asked again for each


def test_caps_of_one_executor_hold_for_it_alone(toy):
    again = (
        "    for _ in range(2):\n        agent.call_llm(messages=[{'role': 'user', 'content': 'x'}], model='large')\n"
    )
    twice = ASK.replace("    try:", f"{again}    try:")
    env = toy({"small": Fixed("s"), "large": {"executor": Fixed("l"), "item_caps": {"calls": 2}}})
    assert answers(env, "large") == {"l"}
    assert {r.answer for r in env.evaluate_workflow(twice % "small").items} == {"s"}
    (refused,) = {r.answer for r in env.evaluate_workflow(twice % "large").items}
    assert refused == "BudgetExceeded: item, executor 'large': 3 executor calls would pass the cap of 2"


def test_over_the_budget_of_one_executor_nothing_becomes_a_score(toy):
    env = toy({"small": Fixed("s"), "large": {"executor": Fixed("l"), "budget": {"calls": 5}}})
    env.reset(seed=0)
    action = f"Ask.\n\n```python\n{ASK}```"
    status = [env.step(action % model)[4]["evaluation"]["status"] for model in ("large", "small")]
    assert status == ["evaluated", "evaluated"]
    known = env.evaluate_candidates([action.replace("Ask.", "Again.") % "large"])[0]
    assert known.status == "evaluated"  # not asked again
    fresh = env.evaluate_candidates([(action % "large").replace("task}", "task + '?'}")])[0]
    assert fresh.status == "infrastructure" and fresh.reward is None
    assert "run, executor 'large'" in fresh.error.message


@pytest.mark.parametrize("style", ["full", "guided", "compact"])
def test_the_observation_tells_names_prices_and_caps(style):
    env = WorkflowDesignEnv(
        "GSMSymbolic", executors=SIMULATED, validation_size=4, test_size=4, prompt_style=style, seed_workflows=["CoT"]
    )
    observation, info = env.reset(seed=0)
    env.close()
    assert "without it 'small' does" in observation
    assert (
        "model='large': sim:gpt-4o-mini (simulated), $0.15 and $0.6 per million prompt and completion tokens, "
        "at most 3 calls an item"
    ) in observation
    assert "`model=` is ignored" not in observation
    assert info["simulated"] and info["state"]["executor"] == "small=sim:gpt-3.5-turbo+large=sim:gpt-4o-mini"
    assert info["usage"]["executors"]["small"]["calls"] == info["usage"]["calls"] > 0
    assert info["usage"]["executors"]["large"]["calls"] == 0


def test_one_executor_is_told_as_before(toy_env):
    observation, info = toy_env().reset(seed=0)
    assert "a fixed executor model, scripted (simulated), to solve a task." in observation
    assert "The executor model is fixed; `model=` is ignored." in observation
    assert "executors" not in info["usage"]


def test_simulated_executors_answer_as_they_do_alone():
    options = {"validation_size": 8, "test_size": 4}
    pool = WorkflowDesignEnv("GSMSymbolic", executors=SIMULATED, **options)
    for name in SIMULATED:
        alone = WorkflowDesignEnv("GSMSymbolic", pool.executor.members[name].executor, **options)
        one, several = alone.evaluate_workflow(ASK % name), pool.evaluate_workflow(ASK % name)
        assert [r.answer for r in one.items] == [r.answer for r in several.items]
        assert replace(several.usage, by_executor={}) == one.usage
        alone.close()
    pool.close()


def test_vector_environments_and_scorers_take_a_pool():
    options = {"executors": SIMULATED, "validation_size": 4, "test_size": 4}
    with w4s_gym.make_scorer("W4S-GSMSymbolic-v0", **options) as scorer:
        assert "model='small'" in scorer.task
        score, feedback = scorer(ASK % "nobody")
        assert scorer(ASK % "large")[0] >= score == 0.0 and "one of 'small', 'large'" in feedback
    envs = gym.make_vec("W4S-GSMSymbolic-v0", num_envs=2, **options)
    observations, infos = envs.reset(seed=0)
    assert all("model='small'" in text for text in observations)
    assert envs.unwrapped.ledger.usage.of("small").calls == infos["usage"]["calls"].sum() > 0
    envs.close()


def test_a_comparison_takes_a_pool_and_names_it(tmp_path):
    config = CompareConfig(
        algos=("seed",), seeds=1, budget=20, validation_size=4, test_size=4, workers=0,
        env_options={"executors": SIMULATED},
    )  # fmt: skip
    results = Comparison(config).run(tmp_path / "run", quiet=True)
    write_best_workflow(results, tmp_path / "best_workflow.py")
    assert results.cells[0].result["training"]["by_executor"]["small"]["calls"] > 0
    assert "executor small=sim:gpt-3.5-turbo+large=sim:gpt-4o-mini (simulated), meta-agent" in results.table
    run = subprocess.run(
        [sys.executable, str(tmp_path / "best_workflow.py")], capture_output=True, text=True, timeout=120, check=False
    )
    assert "answer (simulated): " in run.stdout, run.stderr


@pytest.mark.parametrize(
    ("executors", "error", "why"),
    [
        ({}, ConfigError, "expected at least one"),
        ({"two words": "sim:gpt-4o-mini"}, ConfigError, "expected names of letters"),
        ({"a": "sim:nobody"}, UnknownExecutor, "executors: a: .*nobody"),
        ({"a": 3}, ConfigError, "an executor's spec"),
        ({"a": {"executor": "sim:gpt-4o-mini", "prize": 1}}, ConfigError, "did you mean 'price'"),
        ({"a": {"executor": "sim:gpt-4o-mini", "price": {"input": 1}}}, ConfigError, "expected price"),
        ({"a": {"executor": "sim:gpt-4o-mini", "budget": {"programs": 1}}}, ConfigError, "run by no executor"),
        ({"a": {"executor": Fixed("x"), "executor_config": {"b": 1}}}, ConfigError, "configure the object"),
    ],
)
def test_pools_that_cannot_be_used_are_refused(executors, error, why):
    with pytest.raises(error, match=why):
        WorkflowDesignEnv("Toy", executors=executors)


def test_one_executor_beside_several_is_refused():
    with pytest.raises(ConfigError, match="either executor or executors"):
        WorkflowDesignEnv("Toy", "sim:gpt-4o-mini", executors=SIMULATED)


def test_most_is_priced_and_shared_options_reach_specs_alone():
    pool = ExecutorPool({"a": PoolMember(Fixed("x"), price={"input": 1.0, "output": 3e6})})
    tokens, dollars = pool.most(ChatRequest(({"role": "user", "content": "hello"},), max_tokens=5, model="a"))
    assert dollars == pytest.approx(15.0, abs=0.01) and tokens > 5
    read = read_pool({"a": "sim:gpt-4o-mini", "b": Fixed("x")}, {"cache_folder": "c"})
    assert (read["a"].executor_config, read["b"].executor_config) == ({"cache_folder": "c"}, None)
