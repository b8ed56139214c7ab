"""The environment awaited: from any event loop, cancellable, and the same numbers as its synchronous methods."""

from __future__ import annotations

import asyncio
import threading

import pytest

from w4s_gym._loop import finish, on_shared_loop, run_sync, shared_loop
from w4s_gym.errors import ExecutorUnavailable, ProtocolError

BROKEN = "Try.\n\n```python\ndef solver(agent, task):\n    return undefined_name\n```"


@pytest.fixture
def held(scripted):
    """Holds every call of the executor back while it is set to."""

    class Held:
        asked = threading.Event()
        hold = False
        answered = 0

    original = scripted.complete

    async def complete(request):
        if Held.hold:
            Held.asked.set()
            await asyncio.sleep(60)
        Held.answered += 1
        return await original(request)

    scripted.complete = complete
    return Held


def sync_episode(env, actions):
    return [env.reset(seed=3), *(env.step(action) for action in actions)], env.evaluate_test(env.state.best_workflow)


async def async_episode(env, actions):
    steps = [await env.areset(seed=3)]
    for action in actions:
        steps.append(await env.astep(action))
    return steps, await env.aevaluate_test(env.state.best_workflow)


def test_an_awaited_episode_is_the_synchronous_one(toy_env, right_in):
    actions = [right_in(6), BROKEN, right_in(8), right_in(7)]
    expected = sync_episode(toy_env(max_turns=3), actions)
    assert asyncio.run(async_episode(toy_env(max_turns=3), actions)) == expected

    async def on_home():
        return await on_shared_loop(async_episode(toy_env(max_turns=3), actions))

    assert asyncio.run(on_home()) == expected
    assert expected[0][-1][2]  # the episode ended


def test_synchronous_methods_work_under_a_running_loop_as_in_a_notebook(toy_env, right_in):
    actions = [right_in(6), BROKEN, right_in(8)]
    expected = sync_episode(toy_env(), actions)

    async def cell():
        env = toy_env()
        steps, test = sync_episode(env, actions)
        return steps, test, await env.astep(right_in(9)), env.step(right_in(10))

    steps, test, awaited, blocking = asyncio.run(cell())
    assert (steps, test) == expected
    assert (awaited[4]["state"]["turn"], blocking[4]["state"]["turn"]) == (3, 4)


def test_episodes_awaited_together_do_not_disturb_each_other(toy_env, right_in):
    scripts = [[right_in(a), right_in(b)] for a, b in ((6, 7), (9, 1), (2, 10))]
    expected = [sync_episode(toy_env(), actions) for actions in scripts]

    async def together():
        return await asyncio.gather(*(async_episode(toy_env(), actions) for actions in scripts))

    assert asyncio.run(together()) == expected


def test_the_loop_goes_on_while_a_step_waits(toy_env, right_in, held):
    async def main():
        env = toy_env()
        await env.areset(seed=1)
        held.hold = True
        stepping = asyncio.create_task(env.astep(right_in(9)))
        for _ in range(500):
            await asyncio.sleep(0.01)
            if held.asked.is_set():
                break
        assert held.asked.is_set() and not stepping.done()
        stepping.cancel()
        await asyncio.wait([stepping])

    asyncio.run(main())


def test_a_cancelled_step_changes_nothing_and_balances_the_books(toy_env, right_in, held):
    async def main():
        env = toy_env()
        await env.areset(seed=1)
        before, messages = env.state, env.messages
        held.hold = True
        stepping = asyncio.create_task(env.astep(right_in(9)))
        await asyncio.to_thread(held.asked.wait, 20)
        stepping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stepping
        assert (env.state, env.messages) == (before, messages)
        assert env.ledger.reserved.calls == 0 and env.ledger.usage.unanswered > 0
        held.hold = False
        return await env.astep(right_in(9))

    env = toy_env()
    env.reset(seed=1)
    observation, reward, *_ = env.step(right_in(9))
    again = asyncio.run(main())
    assert (again[0], again[1]) == (observation, reward) and reward == 1.0


def test_after_a_cancelled_reset_only_a_reset_goes_on(toy_env, right_in, held):
    async def main():
        env = toy_env()
        await env.areset(seed=1)
        await env.astep(right_in(7))
        held.hold = True
        resetting = asyncio.create_task(env.areset(seed=2))
        await asyncio.to_thread(held.asked.wait, 20)
        resetting.cancel()
        await asyncio.wait([resetting])
        assert resetting.cancelled()
        with pytest.raises(ProtocolError, match="call reset"):
            await env.astep(right_in(9))
        held.hold = False
        return await env.areset(seed=2)

    assert asyncio.run(main()) == toy_env().reset(seed=2)


def test_a_timeout_ends_a_test_evaluation(toy_env, right_in, held):
    async def main():
        env = toy_env()
        await env.areset(seed=1)
        held.hold = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await env.aevaluate_test(env.state.best_workflow)
        assert env.ledger.reserved.calls == 0

    asyncio.run(main())


def test_one_step_at_a_time(toy_env, right_in):
    async def main():
        env = toy_env()
        await env.areset(seed=1)
        first, second = await asyncio.gather(env.astep(right_in(9)), env.astep(right_in(8)), return_exceptions=True)
        assert first[1] == 1.0
        assert isinstance(second, ProtocolError) and "one reset, step or advance at a time" in str(second)
        assert env.state.turn == 1
        together = await asyncio.gather(*(env.aevaluate_candidates([right_in(share)]) for share in (4, 10)))
        assert [c[0].reward for c in together] == [0.0, 1.0]

    asyncio.run(main())


def test_repairs_are_awaited(toy_env, right_in):
    async def main():
        env = toy_env()
        await env.areset(seed=1)
        asked = []

        async def repair(chats):
            asked.append(len(chats))
            await asyncio.sleep(0)
            return [right_in(9)] * len(chats)

        return await env.aevaluate_candidates([BROKEN, right_in(6), BROKEN], repair), asked

    candidates, asked = asyncio.run(main())
    assert asked == [2] and [c.repairs for c in candidates] == [1, 0, 1]
    assert [c.reward for c in candidates] == [1.0, 1.0, 1.0]


def test_a_repair_function_may_use_an_event_loop_of_its_own(toy_env, right_in):
    env, other = toy_env(), toy_env()
    env.reset(seed=1)

    def repair(chats):
        asyncio.run(other.areset(seed=1))
        other.step(right_in(2))
        return [right_in(9)] * len(chats)

    assert env.evaluate_candidates([BROKEN], repair)[0].repairs == 1
    assert other.state.turn == 1


def test_errors_arrive_where_they_are_awaited(toy_env, scripted):
    def fail(request):
        raise ExecutorUnavailable("down")

    scripted.fail = fail
    with pytest.raises(ExecutorUnavailable, match=r"down.*unmeasured"):
        asyncio.run(toy_env().areset(seed=1))


def test_waiting_for_the_shared_loop_on_itself_is_refused():
    async def nothing():
        return None

    async def blocks():
        run_sync(nothing())

    with pytest.raises(RuntimeError, match="outside the shared event loop"):
        run_sync(blocks())
    assert shared_loop().is_running()


def test_a_synchronous_shell_refuses_other_waits():
    async def sleeps():
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waits only through"):
        finish(sleeps())
