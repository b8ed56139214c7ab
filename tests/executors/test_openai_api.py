from __future__ import annotations

import asyncio
import json
import socket
import time

import pytest

from w4s_gym.errors import ExecutorUnavailable, RequestRefused
from w4s_gym.executors import ChatRequest, make_executor
from w4s_gym.usage import Usage

QUICK = {"attempt_seconds": 5.0, "backoff_seconds": 0.01, "price": {"input": 1.0, "output": 10.0}}


def make(server, **config):
    return make_executor("openai:m", {**QUICK, "base_url": server.base_url, **config})


def right(reply, total: int) -> bool:
    return all(json.loads(c.text) == {"answer": str(total)} for c in reply.completions)


def test_an_answer_with_its_tokens_and_price(serve, question, run):
    server = serve()
    reply = run(make(server).complete(question(20, 22)))
    assert right(reply, 42)
    usage = reply.usage
    assert (usage.calls, usage.cached_calls, usage.prompt_tokens, usage.completion_tokens) == (1, 0, 9, 17)
    assert usage.dollars == pytest.approx((9 * 1.0 + 17 * 10.0) / 1e6)
    assert usage.seconds > 0


def test_the_five_samples_of_a_request_come_in_one_exchange(serve, question, run):
    server = serve()
    reply = run(make(server).complete(question(1, 2, n=5)))
    assert len(reply.completions) == 5 and right(reply, 3)
    assert reply.usage.calls == 5
    assert server.report()["requests"] == 1


@pytest.mark.parametrize("feature", ["n", "seed", "json_schema", "temperature", "max_tokens"])
def test_what_a_server_refuses_is_left_out_and_remembered(serve, question, run, feature):
    server = serve("--unsupported", feature, "json_object")
    executor = make(server)

    async def ask() -> None:
        for total in (10, 11, 12):
            reply = await executor.complete(question(total - 1, n=3, json_keys=() if feature == "n" else ("answer",)))
            assert len(reply.completions) == 3
            assert all(str(total) in c.text for c in reply.completions)
        await executor.close()

    run(ask())
    assert server.report()["refused"] <= 2  # found out once, not with every request


def test_a_server_that_ignores_n_is_asked_for_each_sample(serve, question, run):
    server = serve("--ignore-n")
    executor = make(server)

    async def ask() -> None:
        for a in (1, 2):
            reply = await executor.complete(question(a, n=4))
            assert len(reply.completions) == 4 and right(reply, a + 1)
            assert reply.usage.calls == 4
        await executor.close()

    run(ask())
    assert server.report()["requests"] == 8


def test_json_mode_is_tried_before_plain_text(serve, question, run):
    server = serve("--unsupported", "json_schema")
    executor = make(server)
    run(executor.complete(question(1)))
    assert executor._dialect.features(question(2)) >= {"json_mode"}
    assert "json_schema" not in executor._dialect.features(question(2))


def test_a_request_that_is_wrong_in_itself_is_refused_and_teaches_nothing(serve, question, run):
    server = serve("--unsupported", "tools")
    executor = make(server)

    async def ask() -> None:
        await executor.complete(question(1))
        with pytest.raises(RequestRefused, match="tools"):
            await executor.complete(question(2, tools=({"type": "function"},)))
        assert right(await executor.complete(question(3)), 4)
        await executor.close()

    run(ask())
    assert executor._dialect.takes("json_schema") is True


@pytest.mark.parametrize(
    ("kind", "counted"),
    [
        ("rate_limit", Usage()),
        ("server_error", Usage()),
        ("timeout", Usage(unanswered=1)),
        ("reset", Usage(unanswered=1)),
        ("garbled", Usage(unanswered=1)),
        ("empty", Usage(calls=1, empty=1)),
        ("truncated", Usage(calls=1, truncated=1)),
        ("not_json", Usage(calls=1, malformed=1)),
    ],
)
def test_each_fault_is_survived_and_counted(serve, question, run, kind, counted):
    server = serve("--faults", "0.5", "--kinds", kind, "--hang", "5")
    executor = make(server, attempt_seconds=0.5 if kind == "timeout" else 5.0, reasks=8)

    async def ask() -> Usage:
        replies = await asyncio.gather(*(executor.complete(question(a)) for a in range(12)))
        assert all(right(reply, a + 1) for a, reply in enumerate(replies))
        await executor.close()
        return sum((r.usage for r in replies), Usage())

    usage, report = run(ask()), server.report()
    faults = report["faults"][kind]
    assert faults > 0
    assert usage.calls == 12 + counted.calls * faults == report["delivered"]
    assert usage.prompt_tokens == report["prompt_tokens"]
    assert usage.completion_tokens == report["completion_tokens"]
    assert (usage.empty, usage.truncated, usage.malformed, usage.unanswered) == tuple(
        faults * getattr(counted, f) for f in ("empty", "truncated", "malformed", "unanswered")
    )


def test_a_reply_that_stays_spoilt_is_handed_on_after_the_re_asks(serve, question, run):
    server = serve("--faults", "1.0", "--kinds", "empty")
    reply = run(make(server, reasks=2).complete(question(1)))
    assert reply.completions[0].text == ""
    assert reply.usage.calls == reply.usage.empty == 3


def test_a_reply_cut_at_the_token_limit_is_the_models_own_doing(serve, question, run):
    server = serve("--faults", "1.0", "--kinds", "truncated")
    reply = run(make(server).complete(question(1, max_tokens=5)))
    assert reply.completions[0].finish_reason == "length"
    assert reply.usage.calls == reply.usage.truncated == 1


def test_a_context_window_that_is_full_is_learnt_and_not_re_asked(serve, question, run):
    server = serve("--faults", "1.0", "--kinds", "truncated")
    executor = make(server, reasks=5)
    long = ChatRequest(messages=({"role": "user", "content": "x" * 600 + " 1 + 1 ="},))

    async def ask() -> list[int]:
        first, second = [(await executor.complete(long)).usage.calls for _ in range(2)]
        await executor.close()
        return [first, second]

    assert run(ask()) == [2, 1]  # cut twice at the same place: that is where the window ends


def test_a_server_that_counts_no_tokens_has_them_estimated_and_no_price(serve, question, run):
    server = serve("--unmetered")
    usage = run(make(server).complete(question(20, 22))).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (
        len("20 + 22 =") // 4 + 1,
        len('{"answer": "42"}') // 4 + 1,
    )
    assert usage.dollars is None


def test_an_endpoint_that_never_answers_is_unavailable_with_what_it_cost(serve, question, run):
    server = serve("--faults", "1.0", "--kinds", "garbled")
    with pytest.raises(ExecutorUnavailable, match=r"after 3 attempts.*no chat completion") as caught:
        run(make(server, attempts=3).complete(question(1)))
    assert caught.value.usage == Usage(unanswered=3)


def test_an_unreachable_endpoint_is_said_quickly_and_clearly(question, run):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    executor = make_executor("openai:m", {**QUICK, "base_url": f"http://127.0.0.1:{port}/v1"})

    async def ask() -> list[object]:
        return await asyncio.gather(*(executor.complete(question(a)) for a in range(50)), return_exceptions=True)

    started = time.monotonic()
    failures = run(ask())
    assert time.monotonic() - started < 20
    assert all(isinstance(f, ExecutorUnavailable) and f"127.0.0.1:{port}" in str(f) for f in failures)
    assert all("after 3 attempts" in str(f) and "cannot connect" in str(f) for f in failures)
    assert failures[0].usage == Usage()


def test_a_refused_key_is_not_tried_again(serve, question, run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-wrong")
    server = serve("--reject-key")
    with pytest.raises(ExecutorUnavailable, match="401"):
        run(make(server).complete(question(1)))
    assert server.report()["requests"] == 1


def test_cancelling_ends_the_exchange_and_frees_its_slot(serve, question, run):
    server = serve("--latency", "30")

    async def cancel() -> None:
        executor = make(server, concurrency=1)
        first = asyncio.create_task(executor.complete(question(1)))
        second = asyncio.create_task(executor.complete(question(2)))
        for _ in range(200):
            await asyncio.sleep(0.02)
            if (await asyncio.to_thread(server.report))["requests"] == 1:
                break
        for task in (first, second):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 5)
        await executor.close()

    run(cancel())


def test_it_never_goes_over_the_slots_for_long_and_respects_retry_after(serve, question, run):
    server = serve("--slots", "4", "--latency", "0.02")
    executor = make(server)

    async def ask() -> None:
        replies = await asyncio.gather(*(executor.complete(question(a)) for a in range(120)))
        assert all(right(reply, a + 1) for a, reply in enumerate(replies))
        await executor.close()

    run(ask())
    report = server.report()
    assert report["peak"] <= 4
    assert report["refused"] < 60


def test_extra_parameters_are_sent_and_the_item_is_not(serve, question, run):
    server = serve()
    run(make(server, extra={"top_p": 0.5}).complete(question(1)))
    assert server.report()["bodies"] == [
        ["max_tokens", "messages", "model", "response_format", "seed", "temperature", "top_p"]
    ]


def test_azure_gets_its_own_url_and_header(serve, question, run, monkeypatch):
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key-0000")
    server = serve()
    config = {**QUICK, "azure_endpoint": server.base_url.removesuffix("/v1"), "azure_api_version": "2024-10-21"}
    assert right(run(make_executor("openai:my-deployment", config).complete(question(1))), 2)
    report = server.report()
    assert report["paths"] == ["/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"]
    assert report["keys"] == ["api-key: azure-key-0000"]


def test_an_unknown_price_is_unknown_and_not_zero(serve, question, run):
    server = serve()
    executor = make(server, price=None)
    assert run(executor.complete(question(1))).usage.dollars is None
    assert executor.most(question(1))[1] is None


def test_the_estimate_is_above_the_real_cost(serve, question, run):
    server = serve()
    executor = make(server)
    request = question(123456, n=3)
    usage = run(executor.complete(request)).usage
    tokens, dollars = executor.most(request)
    assert usage.prompt_tokens + usage.completion_tokens < tokens
    assert usage.dollars < dollars


def test_one_executor_serves_one_event_loop_after_another(serve, question):
    executor = make(serve())
    for a in (1, 2):
        assert right(asyncio.run(executor.complete(question(a))), a + 1)


def test_seeds_depend_on_prompt_draw_sample_and_re_ask():
    from w4s_gym.executors.body import sample_seed

    def ask(text: str, draw: int = 0) -> ChatRequest:
        return ChatRequest(messages=({"role": "user", "content": text},), draw=draw)

    seeds = {sample_seed(ask("a"), 0, 0), sample_seed(ask("b"), 0, 0), sample_seed(ask("a", 1), 0, 0)}
    seeds |= {sample_seed(ask("a"), 1, 0), sample_seed(ask("a"), 0, 1)}
    assert len(seeds) == 5
    assert sample_seed(ask("a"), 0, 0) in seeds  # and on nothing else
    assert all(0 <= s < 2**31 for s in seeds)
