"""The simulated executor as an executor: purity, samples, usage, faults, speed."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from w4s_gym.benchmark import Item
from w4s_gym.errors import ConfigError
from w4s_gym.executors import ChatRequest, make_executor
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.profile import Latency

KEYS = ["reasoning", "answer"]


def test_it_says_that_it_is_simulated():
    executor = make_executor("sim:gpt-4o-mini")
    assert executor.simulated and executor.name == "sim:gpt-4o-mini"


def test_a_reply_depends_on_the_request_alone(make_items, chat):
    """Other requests, their order, concurrency and a new instance change nothing."""
    items = make_items(20)
    requests = [
        chat(None, item, "GSM8K", draw).request(keys, item.task, temperature=temperature, n=2)
        for item in items
        for draw in (0, 1)
        for keys in ([], ["answer"], KEYS, ["code"])
        for temperature in (0.0, 0.9)
    ]
    first = SimulatedExecutor("sim:gpt-3.5-turbo")
    expected = [first.answer(r) for r in requests]
    order = list(range(len(requests)))
    random.Random(1).shuffle(order)
    second = SimulatedExecutor("sim:gpt-3.5-turbo")

    async def gather() -> dict:
        replies = await asyncio.gather(*(second.complete(requests[i]) for i in order))
        return dict(zip(order, replies, strict=True))

    found = asyncio.run(gather())
    assert [found[i] for i in range(len(requests))] == expected


def test_samples_of_one_call_are_those_of_single_calls(mini, make_items, chat):
    item = make_items(1)[0]
    together = mini.answer(chat(mini, item).request(KEYS, item.task, n=4))
    one_by_one = chat(mini, item)
    texts = [mini.answer(one_by_one.request(KEYS, item.task)).completions[0].text for _ in range(4)]
    assert [c.text for c in together.completions] == texts


def test_temperature_zero_repeats_and_one_varies(mini, make_items, chat):
    item = make_items(1)[0]
    cold = {c.text for c in mini.answer(chat(mini, item).request(KEYS, item.task, n=8, temperature=0.0)).completions}
    warm = {c.text for c in mini.answer(chat(mini, item).request(KEYS, item.task, n=8, temperature=1.0)).completions}
    assert len(cold) == 1 and len(warm) > 1


def test_draws_are_independent(gpt35, make_items, chat):
    items = make_items(60)
    texts = [
        [gpt35.answer(chat(gpt35, i, "", d).request(KEYS, i.task)).completions[0].text for i in items] for d in (0, 1)
    ]
    assert texts[0] != texts[1]


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(max_size=300),
    keys=st.lists(st.text(min_size=1, max_size=20), max_size=5, unique=True),
    temperature=st.floats(0, 2),
    max_tokens=st.integers(1, 200),
    kind=st.sampled_from(["number", "text", "choice", "math", "code"]),
    gold=st.text(max_size=30),
)
@example(text="", keys=["_ID"], temperature=0.0, max_tokens=1, kind="number", gold="")  # selects among no labels
def test_any_request_gets_a_reply(text, keys, temperature, max_tokens, kind, gold):
    """Whatever workflow, item and gold answer: a reply within the token limit, never an exception."""
    item = Item("i", text or "?", gold, kind=kind, entry_point="f" if kind == "code" else None)
    request = ChatRequest(
        messages=({"role": "system", "content": text}, {"role": "user", "content": text * 2}),
        json_keys=tuple(keys),
        temperature=temperature,
        max_tokens=max_tokens,
        item=item,
    )
    reply = SimulatedExecutor("sim:gpt-4o-mini").answer(request)
    assert len(reply.completions) == 1
    assert 0 <= reply.usage.completion_tokens <= max_tokens
    assert (reply.completions[0].finish_reason == "length") == bool(reply.usage.truncated)


def test_usage_adds_up(mini, make_items, chat):
    item = make_items(1)[0]
    request = chat(mini, item).request(KEYS, item.task, n=3)
    reply = mini.answer(request)
    price = mini.profile.price
    usage = reply.usage
    assert usage.calls == 3 and usage.cached_calls == 0
    assert usage.completion_tokens == sum(-(-len(c.text.encode()) // 4) for c in reply.completions)
    assert usage.dollars == pytest.approx(
        (usage.prompt_tokens * price.prompt_per_million + usage.completion_tokens * price.completion_per_million) / 1e6
    )
    assert 0.05 < usage.seconds < 60
    assert mini.most(request)[0] >= usage.prompt_tokens + usage.completion_tokens
    assert mini.most(request)[1] >= usage.dollars


def test_a_short_limit_cuts_the_reply(mini, make_items, chat):
    item = make_items(1)[0]
    reply = mini.answer(chat(mini, item).request(KEYS, item.task, max_tokens=10))
    assert reply.completions[0].finish_reason == "length" and reply.usage.truncated == 1
    with pytest.raises(ValueError):
        json.loads(reply.completions[0].text)


def test_some_replies_are_unusable(gpt35, make_items, chat):
    """About as many as the profile says, and more of them above temperature 1."""

    def broken(temperature: float) -> float:
        texts = [
            c.text
            for item in make_items(40)
            for c in gpt35.answer(chat(gpt35, item).request(KEYS, item.task, n=50, temperature=temperature)).completions
        ]
        return sum(not t.startswith("{") or not t.endswith("}") for t in texts) / len(texts)

    faults = gpt35.profile.faults
    assert broken(0.8) == pytest.approx(faults.malformed + faults.empty, abs=0.01)
    assert broken(1.8) > 2 * broken(0.8)


def test_it_needs_the_item():
    with pytest.raises(ConfigError, match=r"expected request\.item"):
        SimulatedExecutor("sim:gpt-4o-mini").answer(ChatRequest(messages=({"role": "user", "content": "hi"},)))


def test_it_waits_only_when_told_to(mini, make_items, chat):
    """By default the modelled seconds are reported, not waited for."""
    item = make_items(1)[0]
    request = chat(mini, item).request(KEYS, item.task)
    patient = SimulatedExecutor("sim:x", replace(mini.profile, latency=Latency(first_token_seconds=0.2, sleep=0.2)))

    def seconds(executor: SimulatedExecutor) -> tuple[float, float]:
        began = time.monotonic()
        reply = asyncio.run(executor.complete(request))
        return time.monotonic() - began, reply.usage.seconds

    waited, modelled = seconds(patient)
    assert waited >= 0.2 * modelled > 0
    waited, modelled = seconds(mini)
    assert modelled > 0.2 and waited < 0.2 + modelled


def test_a_sample_takes_a_fraction_of_a_millisecond(mini, make_items, chat):
    """Target: 0.15 ms of one core; the limit here leaves room for a slow and busy machine."""
    items = make_items(100)
    for item in items:
        chat(mini, item).answer()
    began = time.process_time()
    for item in items:
        mini.answer(chat(mini, item).request(KEYS, item.task, n=5))
    assert (time.process_time() - began) / 500 < 0.0006
