"""Fair sharing: who gets what when several want more than there is."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.shares import Shares, current_sharer, working_for


def test_a_newcomer_does_not_wait_behind_the_queue_of_another() -> None:
    async def race() -> list[str]:
        shares, order = Shares(2), []

        async def work(who: str) -> None:
            await shares.take(who)
            order.append(who)
            await asyncio.sleep(0)
            shares.give(who)

        greedy = [asyncio.ensure_future(work("greedy")) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.gather(*greedy, *(work("quick") for _ in range(3)))
        return order

    order = asyncio.run(race())
    assert len(order) == 23 and [i for i, who in enumerate(order) if who == "quick"][-1] < 12


@given(st.integers(1, 40), st.integers(1, 6))
def test_places_are_kept_free_for_those_who_come_later(count: int, sharers: int) -> None:
    """m sharers that want all get about 2/(2m + 1) of it each, whoever came first."""

    async def fill() -> Counter[int]:
        shares, held = Shares(count, keep_free=True), Counter[int]()
        for who in range(sharers):
            while shares.try_take(who):
                held[who] += 1
        return held

    held = asyncio.run(fill())
    assert sum(held.values()) <= count and held[0] >= 2 * count // 3
    assert all(held[who] <= held[who - 1] for who in range(1, sharers))


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 5), st.booleans(), st.sets(st.integers(0, 39)))
def test_nothing_is_lost_or_handed_out_twice(who: list[str], count: int, keep_free: bool, given_up: set[int]) -> None:
    async def run() -> int:
        shares, holding, most = Shares(count, keep_free=keep_free), 0, 0

        async def work(sharer: str) -> None:
            nonlocal holding, most
            await shares.take(sharer)
            holding += 1
            most = max(most, holding)
            try:
                await asyncio.sleep(0)
            finally:
                holding -= 1
                shares.give(sharer)

        tasks = [asyncio.ensure_future(work(sharer)) for sharer in who]
        for i, task in enumerate(tasks):
            if i in given_up:
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert shares.try_take("new") and shares._free == count - 1 and holding == 0
        return most

    assert asyncio.run(run()) <= count


def test_one_who_holds_more_than_someone_waiting_owes() -> None:
    async def owe() -> list[bool]:
        shares = Shares(2)
        assert shares.try_take("a") and shares.try_take("a")
        before = shares.owes("a")
        waiting = asyncio.ensure_future(shares.take("b"))
        await asyncio.sleep(0)
        during = shares.owes("a")
        shares.give("a")
        await waiting
        return [before, during, shares.owes("a")]

    assert asyncio.run(owe()) == [False, True, False]


def test_tasks_inherit_whom_they_work_for() -> None:
    async def ask() -> object:
        return current_sharer()

    async def both() -> list[object]:
        with working_for("candidate"):
            inside = asyncio.create_task(ask())
        return [await inside, await asyncio.create_task(ask())]

    assert asyncio.run(both()) == ["candidate", None]
