from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.errors import BudgetExceeded, ExecutorUnavailable
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, most_tokens
from w4s_gym.ledger import Caps, Ledger, Reservation, ask
from w4s_gym.usage import Usage

REQUEST = ChatRequest(messages=({"role": "user", "content": "1 + 1 ="},), max_tokens=10)


class Stub:
    """An executor with a price of one dollar a sample at most, half a dollar in truth."""

    name, simulated = "stub", False

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.asked += 1
        await self.go.wait()
        if self.failure:
            raise self.failure
        return ChatReply((Completion("2"),) * request.n, Usage(request.n, 0, 3, 2, 0.5 * request.n))

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        return request.n * most_tokens(request), 1.0 * request.n

    async def close(self) -> None: ...


def test_a_child_is_charged_to_its_parents_and_keeps_its_own_books():
    run = Ledger("run")
    first, second = run.child("evaluation"), run.child("evaluation")
    first.settle(first.reserve(2, 10, 0.5), Usage(2, 0, 6, 4, 0.25))
    second.settle(second.reserve(1), Usage(1, 1, 3, 1, 0.0))
    assert first.usage == Usage(2, 0, 6, 4, 0.25)
    assert run.usage == Usage(3, 1, 9, 5, 0.25)
    assert run.reserved == Reservation()


@pytest.mark.parametrize(
    ("caps", "wanted", "word"),
    [
        (Caps(calls=3), (4, 0, 0.0), "cap of 3"),
        (Caps(tokens=100), (1, 101, 0.0), "cap is 100"),
        (Caps(dollars=0.5), (1, 0, 0.51), r"cap is \$0.5"),
        (Caps(dollars=0.5), (1, 0, None), "known price"),
    ],
)
def test_a_cap_refuses_before_anything_is_spent_and_names_its_ledger(caps, wanted, word):
    run = Ledger("run", caps)
    item = run.child("evaluation").child("item")
    with pytest.raises(BudgetExceeded, match=word) as caught:
        item.reserve(*wanted)
    assert caught.value.scope == "run"
    assert item.reserved == run.reserved == Reservation()
    assert run.usage == Usage()


def test_an_unknown_price_makes_the_sum_unknown_not_zero():
    run = Ledger("run")
    run.settle(run.reserve(1), Usage(1, 0, 3, 2, 0.5))
    run.settle(run.reserve(1, 5, None), Usage(1, 0, 3, 2, None))
    assert run.usage.dollars is None
    assert run.usage.calls == 2


def test_reservations_of_calls_on_their_way_count():
    run = Ledger("run", Caps(calls=4, dollars=1.0))
    on_its_way = run.reserve(3, 0, 0.9)
    with pytest.raises(BudgetExceeded):
        run.reserve(2)
    with pytest.raises(BudgetExceeded):
        run.reserve(1, 0, 0.2)
    run.settle(on_its_way, Usage(3, 0, 1, 1, 0.1))
    run.reserve(1, 0, 0.9)


def test_settling_what_was_not_reserved_is_an_error():
    run = Ledger("run")
    with pytest.raises(ValueError, match="reservation"):
        run.settle(Reservation(1, 2, 3.0), Usage())


def test_usage_that_is_found_out_later_needs_no_reservation():
    run = Ledger("run")
    run.settle(0, Usage(malformed=1))
    assert run.usage.malformed == 1


@given(
    cap=st.integers(0, 60),
    calls=st.lists(st.tuples(st.integers(1, 8), st.floats(0, 1)), max_size=40),
    order=st.randoms(use_true_random=False),
)
def test_a_cap_is_never_passed_and_the_books_balance_at_the_end(cap, calls, order):
    run = Ledger("run", Caps(calls=cap, tokens=10 * cap))
    items = [run.child("item", Caps(calls=20)) for _ in range(3)]
    open_, refused = [], 0
    for count, share in calls:
        item = order.choice(items)
        try:
            open_.append((item, item.reserve(count, 10 * count, None), share))
        except BudgetExceeded:
            refused += 1
        if open_ and order.random() < 0.5:
            item, reserved, share = open_.pop(order.randrange(len(open_)))
            item.settle(reserved, Usage(reserved.calls, 0, int(reserved.tokens * share), 0, None))
        assert run.usage.calls + run.reserved.calls <= cap
    for item, reserved, share in open_:
        item.settle(reserved, Usage(reserved.calls, 0, int(reserved.tokens * share), 0, None))
    assert run.reserved == Reservation()
    assert run.usage.calls == sum(i.usage.calls for i in items) <= cap
    assert run.usage.prompt_tokens == sum(i.usage.prompt_tokens for i in items) <= 10 * cap
    assert refused or run.usage.calls == sum(c for c, _ in calls)


def test_ask_charges_the_real_cost_and_frees_the_rest():
    run = Ledger("run", Caps(dollars=1.0))
    reply = asyncio.run(ask(Stub(), REQUEST, run.child("item")))
    assert reply.completions[0].text == "2"
    assert run.usage.dollars == 0.5
    assert run.reserved == Reservation()


def test_ask_waits_for_calls_on_their_way_before_it_refuses():
    async def three() -> tuple[list[object], int, Usage]:
        stub, run = Stub(), Ledger("run", Caps(dollars=1.5))
        stub.go.clear()
        tasks = [asyncio.create_task(ask(stub, REQUEST, run.child("item"))) for _ in range(3)]
        await asyncio.sleep(0)
        asked_at_first = stub.asked  # at a dollar each, only one fits beside what is reserved
        stub.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return results, asked_at_first, run.usage

    results, asked_at_first, usage = asyncio.run(three())
    assert asked_at_first == 1
    # Two calls at half a dollar leave half a dollar; a third may cost a whole one.
    assert [type(r) for r in results] == [ChatReply, ChatReply, BudgetExceeded]
    assert usage.dollars == 1.0


def test_what_was_billed_before_a_failure_is_charged():
    run = Ledger("run")
    paid = Usage(1, 0, 7, 0, 0.25, empty=1)
    with pytest.raises(ExecutorUnavailable):
        asyncio.run(ask(Stub(ExecutorUnavailable("down", paid)), REQUEST, run))
    assert run.usage == paid
    assert run.reserved == Reservation()


def test_a_cancelled_call_is_noted_as_unanswered():
    async def cancel() -> Usage:
        stub, run = Stub(), Ledger("run")
        stub.go.clear()
        task = asyncio.create_task(ask(stub, REQUEST, run))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert run.reserved == Reservation()
        return run.usage

    assert asyncio.run(cancel()) == Usage(unanswered=1)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000)), max_size=30), st.randoms())
def test_sums_of_usage_do_not_depend_on_the_order(costs, random):
    usages = [Usage(1, 0, 3, 2, dollars, seconds) for dollars, seconds in costs]
    shuffled = random.sample(usages, len(usages))
    assert sum(shuffled, Usage()) == sum(usages, Usage())
    assert sum(usages, Usage()).seconds == pytest.approx(sum(seconds for _, seconds in costs), abs=1e-4)
