"""What one candidate's odd requests teach about the endpoint, and what they do not."""

from __future__ import annotations

import asyncio

import pytest

from w4s_gym.errors import ExecutorUnavailable, RequestRefused
from w4s_gym.executors import ChatRequest, make_executor
from w4s_gym.executors.dialect import Dialect, Feature

MESSAGE = ({"role": "user", "content": "1 + 1 ="},)
QUICK = {"attempt_seconds": 5.0, "backoff_seconds": 0.01, "price": {"input": 1.0, "output": 10.0}, "attempts": 3}
ODD = [
    (ChatRequest(MESSAGE, json_keys=("k" * 20_000,)), "json_schema", ChatRequest(MESSAGE, json_keys=("answer",))),
    (ChatRequest(MESSAGE, json_keys=("seed", "x")), "seed", ChatRequest(MESSAGE, json_keys=("answer",))),
    (ChatRequest(MESSAGE, n=64), "n", ChatRequest(MESSAGE, n=5)),
    (ChatRequest(MESSAGE, json_mode=True), "json_mode", ChatRequest(MESSAGE, json_mode=True, n=2)),
    (ChatRequest(MESSAGE, temperature=2.0), "temperature", ChatRequest(MESSAGE, temperature=0.7)),
    (ChatRequest(MESSAGE, max_tokens=16_384), "max_tokens", ChatRequest(MESSAGE)),
    (ChatRequest(MESSAGE, tools=({"type": "function"},)), "seed", ChatRequest(MESSAGE)),
]


@pytest.mark.parametrize(("odd", "feature", "other"), ODD)
def test_a_refusal_teaches_about_requests_like_it_alone(odd: ChatRequest, feature: Feature, other: ChatRequest) -> None:
    dialect = Dialect({})
    assert feature in dialect.features(odd)
    first = dialect.wording(odd)
    dialect.learn(odd, first, first.without(feature, odd))
    assert feature not in dialect.features(odd)
    assert feature in dialect.features(other)


def refuse(dialect: Dialect, feature: Feature) -> None:
    """Have an ordinary request refused for a feature."""
    first = dialect.wording(ChatRequest(MESSAGE))
    dialect.learn(ChatRequest(MESSAGE), first, first.without(feature, ChatRequest(MESSAGE)))


def test_an_ordinary_request_teaches_about_all() -> None:
    dialect = Dialect({})
    refuse(dialect, "seed")
    assert all("seed" not in dialect.features(odd) for odd, _, _ in ODD)


def test_what_works_is_not_unlearned() -> None:
    dialect = Dialect({})
    first = dialect.wording(ChatRequest(MESSAGE))
    dialect.learn(ChatRequest(MESSAGE), first, first)
    refuse(dialect, "seed")
    assert "seed" in dialect.features(ChatRequest(MESSAGE))


def test_kinds_of_requests_are_not_kept_without_end() -> None:
    dialect = Dialect({})
    for i in range(3_000):
        dialect.refuse(ChatRequest(MESSAGE, json_keys=(str(i),)), "json_schema")
    assert len(dialect._refused) <= 1_000


def test_strange_keys_leave_the_schemas_of_others_alone(serve, question, run) -> None:
    server = serve("--key-letters", "1000")
    executor = make_executor("openai:m", {**QUICK, "base_url": server.base_url})

    async def ask() -> str:
        await executor.complete(question(1, json_keys=("k" * 20_000,)))
        reply = await executor.complete(question(1))
        await executor.close()
        return reply.completions[0].text

    assert run(ask()) == '{"answer": "2"}'


def test_a_request_that_fails_alone_is_refused_and_others_are_answered(serve, question, run) -> None:
    server = serve("--poison", "POISON")
    executor = make_executor("openai:m", {**QUICK, "base_url": server.base_url})
    poison = ChatRequest(({"role": "user", "content": "POISON 1 + 1 ="},))

    async def ask() -> list[object]:
        found = await asyncio.gather(executor.complete(question(1)), executor.complete(poison), return_exceptions=True)
        alone = await asyncio.gather(executor.complete(poison), return_exceptions=True)
        await executor.close()
        return [*found, *alone]

    answered, refused, alone = run(ask())
    assert answered.completions[0].text == '{"answer": "2"}'
    assert isinstance(refused, RequestRefused) and "answers other requests" in str(refused)
    assert isinstance(alone, RequestRefused)  # no other request need be on its way


def test_an_endpoint_that_fails_at_everything_is_down(serve, question, run) -> None:
    server = serve("--poison", "content")
    executor = make_executor("openai:m", {**QUICK, "base_url": server.base_url})
    with pytest.raises(ExecutorUnavailable):
        run(executor.complete(question(1)))
