from __future__ import annotations

import asyncio

import pytest

from w4s_gym.executors.pool import Pool, pool_for


async def hold(pool: Pool, order: list[int], number: int, go: asyncio.Event, *, first: bool = False) -> None:
    async with pool.slot(first=first):
        order.append(number)
        await go.wait()


def test_it_never_has_more_in_flight_than_its_limit(run):
    async def check() -> tuple[int, int]:
        pool, done = Pool(5), 0

        async def call() -> None:
            nonlocal done
            async with pool.slot():
                await asyncio.sleep(0)
                done += 1
            pool.answered()

        await asyncio.gather(*(call() for _ in range(100)))
        assert pool.in_flight == 0
        return pool.peak, done

    assert run(check()) == (5, 100)


def test_it_doubles_per_round_trip_until_the_first_complaint_and_then_grows_slowly(run):
    async def check() -> None:
        pool = Pool(1000)
        start = pool.limit
        for _ in range(int(start)):
            pool.answered()
        assert pool.limit == 2 * start
        async with pool.slot() as round_:
            pool.congested(round_)
        shrunk = pool.limit
        assert shrunk == pytest.approx(0.7 * 2 * start)
        for _ in range(round(shrunk)):
            pool.answered()
        assert shrunk + 0.9 < pool.limit < shrunk + 1.1

    run(check())


def test_one_complaint_per_round_trip_counts(run):
    async def check() -> None:
        pool = Pool(10)
        async with pool.slot() as first, pool.slot() as second:
            pool.congested(first)
            pool.congested(second)  # sent before the endpoint could have seen the smaller number
        assert pool.limit == pytest.approx(7.0)
        async with pool.slot() as later:
            pool.congested(later)
        assert pool.limit == pytest.approx(4.9)

    run(check())


def test_it_never_shrinks_to_nothing(run):
    async def check() -> None:
        pool = Pool(8)
        for _ in range(50):
            async with pool.slot() as round_:
                pool.congested(round_)
        assert pool.limit == 1.0

    run(check())


def test_first_come_first_served_but_retries_go_ahead(run):
    async def check() -> list[int]:
        pool, order, go = Pool(1), [], asyncio.Event()
        tasks = [asyncio.create_task(hold(pool, order, number, go)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(hold(pool, order, 4, go, first=True)))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(*tasks)
        return order

    assert run(check()) == [1, 4, 2, 3]


def test_a_second_retry_after_in_a_row_stops_new_calls_until_then(run):
    async def check() -> tuple[float, float]:
        loop, pool = asyncio.get_running_loop(), Pool(4)
        started = loop.time()
        async with pool.slot() as round_:
            pool.congested(round_, retry_after=0.15)
        async with pool.slot() as round_:
            once = loop.time() - started
            pool.congested(round_, retry_after=0.15)
        async with pool.slot():
            return once, loop.time() - started

    once, twice = run(check())
    assert once < 0.1
    assert twice >= 0.15


@pytest.mark.parametrize("when", ["waiting", "just woken"])
def test_a_cancelled_call_gives_its_slot_back(run, when):
    async def check() -> None:
        pool, go = Pool(1), asyncio.Event()
        async with pool.slot():
            waiter = asyncio.create_task(hold(pool, [], 2, go))
            await asyncio.sleep(0)
            if when == "waiting":
                waiter.cancel()
                await asyncio.sleep(0)
        waiter.cancel()  # "just woken": it was given the slot but has not run since
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert pool.in_flight == 0
        go.set()
        await asyncio.wait_for(hold(pool, [], 3, go), 1)

    run(check())


def test_one_pool_per_endpoint_and_the_smallest_limit_holds(run):
    async def check() -> None:
        pool = pool_for("http://a", 64)
        assert pool_for("http://b", 64) is not pool
        assert pool_for("http://a", 3) is pool
        assert pool.most == 3
        assert pool.limit == 3.0

    run(check())
