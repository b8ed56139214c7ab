"""The vector environment: what a loop over single environments returns, with all items in flight together."""

from __future__ import annotations

import asyncio

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from w4s_gym.errors import BudgetExceeded, ConfigError, ExecutorUnavailable, ProtocolError
from w4s_gym.vector import VectorWorkflowDesignEnv

BROKEN = "Try.\n\n```python\ndef solver(agent, task):\n    return undefined_name\n```"


@pytest.fixture
def vector(scripted):
    made = []

    def make(num_envs=3, **options):
        options = {"validation_size": 6, "test_size": 4, "max_turns": 2, "feedback_items": 0, **options}
        made.append(VectorWorkflowDesignEnv("Toy", scripted, num_envs=num_envs, **options))
        return made[-1]

    yield make
    for envs in made:
        envs.close()


def plain(value):
    """Arrays as lists, so that infos can be compared."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_it_returns_what_a_loop_over_single_environments_returns(vector, toy_env, right_in, mode):
    rounds = [
        [right_in(6), BROKEN, right_in(9)],
        [right_in(9), right_in(7), right_in(3)],
        [right_in(2), "no code", right_in(8)],
        [right_in(10), right_in(5), right_in(8)],
    ]
    together = vector(autoreset_mode=mode)
    options = {"validation_size": 6, "test_size": 4, "max_turns": 2}
    loop = SyncVectorEnv([lambda: toy_env(**options)] * 3, autoreset_mode=mode)
    ours, theirs = [together.reset(seed=[5, 1, 5])], [loop.reset(seed=[5, 1, 5])]
    for actions in rounds:
        ours.append(together.step(actions))
        theirs.append(loop.step(tuple(actions)))
    assert [tuple(map(plain, step)) for step in ours] == [tuple(map(plain, step)) for step in theirs]
    ended = [step[2].tolist() for step in ours[1:]]
    assert any(map(any, ended)) and not all(map(all, ended))


def test_make_vec_makes_it():
    envs = gym.make_vec("W4S-GSMSymbolic-v0", num_envs=2, validation_size=4, test_size=4, autoreset_mode="Disabled")
    assert isinstance(envs.unwrapped, VectorWorkflowDesignEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.DISABLED and envs.num_envs == 2
    observations, infos = envs.reset(seed=3)
    assert envs.observation_space.contains(observations) and infos["simulated"].tolist() == [True, True]
    single = gym.make("W4S-GSMSymbolic-v0", validation_size=4, test_size=4)
    assert observations[1] == single.reset(seed=4)[0]
    envs.close()
    envs.close()
    single.close()


def test_executor_sandbox_ledger_and_budget_are_shared(vector, scripted, right_in):
    envs = vector(budget={"calls": 1000})
    assert len({id(env.sandbox) for env in envs.envs}) == len({id(env.executor) for env in envs.envs}) == 1
    envs.reset(seed=0)
    envs.step([right_in(6), right_in(7), right_in(8)])
    assert {id(env.ledger) for env in envs.envs} == {id(envs.ledger)}
    assert envs.ledger.usage.calls == len(scripted.requests) == 3 * 2 * 6
    with pytest.raises(BudgetExceeded, match="run"):
        vector(budget={"calls": 10}).reset(seed=0)


@pytest.mark.parametrize(
    ("options", "together"),
    [({"self_test": False, "limits": {"probe": 0}}, 4 * 6), ({}, 4 * 5)],
    ids=["at once", "after the self-tests"],
)
def test_all_items_of_a_step_are_in_flight_together(vector, scripted, right_in, options, together):
    flying = most = 0
    original = scripted.complete

    async def complete(request):
        nonlocal flying, most
        if together < 4 * 6 and request.item is tested:
            return await original(request)
        flying += 1
        most = max(most, flying)
        for _ in range(1000):  # until all are here, however slow the machine
            if most == together:
                break
            await asyncio.sleep(0.01)
        flying -= 1
        return await original(request)

    envs = vector(num_envs=4, **options)
    envs.reset(seed=0)
    tested = envs.envs[0].split.validation[0]
    scripted.complete = complete
    envs.step([right_in(share) for share in (6, 7, 8, 9)])
    assert most == together


def test_without_autoreset_a_mask_resets(vector, right_in):
    envs = vector(autoreset_mode=AutoresetMode.DISABLED, max_turns=1)
    first, _ = envs.reset(seed=[1, 2, 3])
    last, _, ended, _, _ = envs.step([right_in(6), BROKEN, right_in(8)])
    assert ended.tolist() == [True, False, True]
    turn = envs.envs[1].state
    with pytest.raises(ProtocolError, match=r"\[0, 2\] are over"):
        envs.step([right_in(6)] * 3)
    options = {"reset_mask": np.array([True, False, True])}
    observations, infos = envs.reset(options=options)
    assert options.keys() == {"reset_mask"}  # the caller's dict is left alone
    assert infos["_messages"].tolist() == [True, False, True] and envs.envs[1].state == turn
    assert observations[1] == last[1] != first[1]  # it still waits for its repair
    assert infos["state"]["turn"].tolist() == [0, 0, 0] and observations[0] != last[0]
    _, rewards, _, _, _ = envs.step([right_in(9)] * 3)
    assert rewards.tolist() == [1.0, 1.0, 1.0]


def test_bad_input_is_refused_before_anything_is_asked(vector, scripted, right_in):
    envs = vector(autoreset_mode="Disabled")
    envs.reset(seed=0)
    asked = len(scripted.requests)
    for actions in ([right_in(6)] * 2, "a text", [right_in(6), None, right_in(7)]):
        with pytest.raises(ProtocolError, match="one action for each"):
            envs.step(actions)
    with pytest.raises(ConfigError, match="a seed for each of 3"):
        envs.reset(seed=[1, 2])
    for mask in ([True, False, True], np.zeros(3, dtype=bool), np.ones(2, dtype=bool)):
        with pytest.raises(ConfigError, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    with pytest.raises(ConfigError, match="reset options"):
        envs.reset(options={"other": 1})
    assert len(scripted.requests) == asked
    for wrong in ({"num_envs": 0}, {"autoreset_mode": "Never"}, {"max_trns": 3}):
        with pytest.raises(ConfigError):
            vector(**wrong)


def test_one_environment_that_cannot_be_measured_does_not_touch_the_others(vector, scripted, right_in):
    def fail(request):
        if any("right in 3 of 10" in m["content"] for m in request.messages):
            raise ExecutorUnavailable("down")

    envs = vector()
    envs.reset(seed=0)
    scripted.fail = fail
    _, rewards, _, truncated, infos = envs.step([right_in(9), right_in(3), right_in(10)])
    assert (rewards.tolist(), truncated.tolist()) == ([1.0, 0.0, 1.0], [False, True, False])
    assert infos["evaluation"]["masked"].tolist() == [False, True, False]
    _, _, _, truncated, infos = envs.step([right_in(9), "ignored", right_in(10)])
    assert not truncated.any() and infos["state"]["turn"].tolist() == [2, 0, 2]


def test_it_can_be_awaited_and_cancelled(vector, scripted, right_in):
    async def main():
        envs = vector()
        await envs.areset(seed=0)
        states = [env.state for env in envs.envs]
        original, asked = scripted.complete, asyncio.Event()
        loop = asyncio.get_running_loop()

        async def hang(request):
            loop.call_soon_threadsafe(asked.set)
            await asyncio.sleep(60)

        scripted.complete = hang
        stepping = asyncio.create_task(envs.astep([right_in(9)] * 3))
        await asked.wait()
        stepping.cancel()
        await asyncio.wait([stepping])
        assert stepping.cancelled() and [env.state for env in envs.envs] == states
        assert envs.ledger.reserved.calls == 0
        scripted.complete = original
        return (await envs.astep([right_in(9)] * 3))[1]

    assert asyncio.run(main()).tolist() == [1.0, 1.0, 1.0]
