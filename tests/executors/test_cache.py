from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from w4s_gym.errors import ConfigError, ExecutorUnavailable
from w4s_gym.executors import ChatRequest, Completion, make_executor
from w4s_gym.executors.base import ChatReply
from w4s_gym.executors.cache import CachedExecutor, sample_key, split_reply
from w4s_gym.usage import Usage


class Oracle:
    """An endpoint that numbers the samples it gives and can be told to wait or to fail."""

    name, simulated, identity = "oracle", False, "oracle"

    def __init__(self, batch: int = 64) -> None:
        self.batch = batch
        self.asked: list[tuple[int, int]] = []
        self.fail_at: set[int] = set()
        self.greedy_repeats = False
        self.go = asyncio.Event()
        self.go.set()

    def repeats(self, request: ChatRequest) -> bool:
        return self.greedy_repeats and request.temperature == 0

    def batch_size(self) -> int:
        return self.batch

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        return 100 * request.n, 1.0 * request.n

    async def ask(self, request: ChatRequest) -> ChatReply:
        self.asked.append((request.sample_index, request.n))
        await self.go.wait()
        if request.sample_index in self.fail_at:
            raise ExecutorUnavailable("down", Usage(unanswered=1))
        first = request.sample_index
        texts = [Completion(f"sample {i} of draw {request.draw}") for i in range(first, first + request.n)]
        return ChatReply(tuple(texts), Usage(request.n, 0, 10, 7 * request.n, 0.5 * request.n, 1.0))

    async def complete(self, request: ChatRequest) -> ChatReply:
        return await self.ask(request)

    async def close(self) -> None: ...


REQUEST = ChatRequest(messages=({"role": "user", "content": "hi"},))


def texts(reply: ChatReply) -> list[str]:
    return [c.text for c in reply.completions]


def test_a_reply_that_repeats_itself_is_asked_once_for_all_draws_and_samples_and_only_then(tmp_path, run):
    inner = Oracle()
    inner.greedy_repeats = True
    cached = CachedExecutor(inner, tmp_path)
    greedy = replace(REQUEST, temperature=0.0)

    async def ask() -> list[ChatReply]:
        requests = [replace(greedy, draw=1), replace(greedy, draw=2, n=3), replace(greedy, sample_index=4)]
        return list(await asyncio.gather(*(cached.complete(request) for request in requests)))

    replies = run(ask())
    assert inner.asked == [(0, 1)]
    assert [texts(reply) for reply in replies] == [["sample 0 of draw 0"] * n for n in (1, 3, 1)]
    assert sum((reply.usage for reply in replies), Usage()).calls == 5
    assert sum(reply.usage.dollars for reply in replies) == 0.5  # one was paid
    run(cached.complete(replace(REQUEST, draw=1)))
    run(cached.complete(replace(REQUEST, draw=2)))
    assert len(inner.asked) == 3  # at other temperatures a draw is a fresh measurement


def test_a_stored_reply_costs_nothing_but_still_tells_its_tokens(tmp_path, run):
    inner = Oracle()
    cached = CachedExecutor(inner, tmp_path)

    async def twice() -> tuple[ChatReply, ChatReply]:
        return await cached.complete(replace(REQUEST, n=3)), await cached.complete(replace(REQUEST, n=3))

    paid, stored = run(twice())
    assert inner.asked == [(0, 3)]
    assert stored.completions == paid.completions
    assert paid.usage == Usage(3, 0, 10, 21, 1.5, 1.0)
    assert stored.usage == Usage(3, 3, 10, 21, 0.0, 0.0, cached_dollars=1.5)


def test_only_the_missing_samples_are_asked_for(tmp_path, run):
    inner = Oracle()
    cached = CachedExecutor(inner, tmp_path)

    async def three() -> ChatReply:
        await cached.complete(replace(REQUEST, n=2))
        await cached.complete(replace(REQUEST, sample_index=4))
        return await cached.complete(replace(REQUEST, n=7))

    reply = run(three())
    assert inner.asked == [(0, 2), (4, 1), (2, 2), (5, 2)]
    assert texts(reply) == [f"sample {i} of draw 0" for i in range(7)]
    assert (reply.usage.calls, reply.usage.cached_calls, reply.usage.dollars) == (7, 3, 2.0)


def test_the_key_holds_everything_that_matters_and_nothing_else():
    changes = [
        {"messages": ({"role": "user", "content": "ho"},)},
        {"messages": ({"role": "system", "content": "hi"},)},
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"json_keys": ("a",)},
        {"json_mode": True},
        {"tools": ({"type": "function"},)},
        {"tool_choice": "auto"},
        {"draw": 1},
    ]
    keys = {sample_key("a", REQUEST, 0), sample_key("b", REQUEST, 0), sample_key("a", REQUEST, 1)}
    keys |= {sample_key("a", replace(REQUEST, **change), 0) for change in changes}
    assert len(keys) == 3 + len(changes)
    same = replace(REQUEST, n=5, sample_index=3)  # which samples are wanted is not part of what a sample is
    assert sample_key("a", same, 0) == sample_key("a", REQUEST, 0)


def test_a_new_draw_is_a_fresh_measurement(tmp_path, run):
    inner = Oracle()
    cached = CachedExecutor(inner, tmp_path)
    replies = [run(cached.complete(replace(REQUEST, draw=draw))) for draw in (0, 1, 0)]
    assert [texts(r)[0] for r in replies] == [f"sample 0 of draw {d}" for d in (0, 1, 0)]
    assert len(inner.asked) == 2


def test_the_same_request_in_flight_is_asked_once(tmp_path, run):
    inner = Oracle()
    cached, other = CachedExecutor(inner, tmp_path), CachedExecutor(inner, tmp_path)

    async def many() -> list[ChatReply]:
        inner.go.clear()
        tasks = [asyncio.create_task(e.complete(replace(REQUEST, n=n))) for e in (cached, other) for n in (1, 2, 3)]
        await asyncio.sleep(0.1)
        inner.go.set()
        return await asyncio.gather(*tasks)

    replies = run(many())
    assert sorted(inner.asked) == [(0, 1), (1, 1), (2, 1)]
    assert all(texts(r) == [f"sample {i} of draw 0" for i in range(len(r.completions))] for r in replies)
    assert sum(r.usage.dollars or 0.0 for r in replies) == 1.5
    assert sum(r.usage.calls - r.usage.cached_calls for r in replies) == 3


def test_when_the_one_who_asks_is_cancelled_another_takes_over(tmp_path, run):
    inner = Oracle()
    cached = CachedExecutor(inner, tmp_path)

    async def cancel() -> ChatReply:
        inner.go.clear()
        first, second = (asyncio.create_task(cached.complete(REQUEST)) for _ in range(2))
        await asyncio.sleep(0.1)
        first.cancel()
        inner.go.set()
        return await asyncio.wait_for(second, 5)

    assert texts(run(cancel())) == ["sample 0 of draw 0"]


@pytest.mark.parametrize("batch", [1, 64])
def test_what_was_answered_before_a_failure_is_stored_and_charged(tmp_path, run, batch):
    inner = Oracle(batch)
    cached = CachedExecutor(inner, tmp_path)
    run(cached.complete(replace(REQUEST, sample_index=1)))  # samples 0 and 2 are asked for apart, even in batches
    inner.fail_at = {2}
    with pytest.raises(ExecutorUnavailable) as caught:
        run(cached.complete(replace(REQUEST, n=3)))
    assert caught.value.usage == Usage(2, 1, 20, 14, 0.5, 1.0, unanswered=1, cached_dollars=0.5)
    inner.fail_at.clear()
    inner.asked.clear()
    run(cached.complete(replace(REQUEST, n=3)))
    assert inner.asked == [(2, 1)]


def test_those_who_wait_for_a_failing_request_fail_with_it(tmp_path, run):
    inner = Oracle()
    inner.fail_at = {0}
    cached = CachedExecutor(inner, tmp_path)

    async def many() -> list[object]:
        return await asyncio.gather(*(cached.complete(REQUEST) for _ in range(5)), return_exceptions=True)

    failures = run(many())
    assert all(isinstance(f, ExecutorUnavailable) for f in failures)
    assert len(inner.asked) == 1


def test_read_mode_stores_nothing(tmp_path, run):
    inner = Oracle()
    run(CachedExecutor(inner, tmp_path).complete(REQUEST))
    reading = CachedExecutor(inner, tmp_path, "read")
    for _ in range(2):
        run(reading.complete(replace(REQUEST, n=2)))
    assert inner.asked == [(0, 1), (1, 1), (1, 1)]
    with pytest.raises(ConfigError, match="rite"):
        CachedExecutor(inner, tmp_path, "rite")


def test_the_estimate_leaves_out_what_is_stored(tmp_path, run):
    cached = CachedExecutor(Oracle(), tmp_path)
    run(cached.complete(replace(REQUEST, n=2)))
    assert [cached.most(replace(REQUEST, n=n))[1] for n in (2, 3, 5)] == [0.0, 1.0, 3.0]


def test_tokens_are_shared_without_loss():
    completions = tuple(Completion("x" * size) for size in (0, 1, 5, 17, 3))
    samples = split_reply(ChatReply(completions, Usage(5, 0, 11, 103, 1.0)))
    assert sum(s.prompt_tokens for s in samples) == 11
    assert sum(s.completion_tokens for s in samples) == 103
    assert max(samples, key=lambda s: s.completion_tokens).completion == completions[3]


def test_a_cache_needs_a_folder():
    with pytest.raises(ConfigError, match="cache_folder"):
        make_executor("openai:m", {"base_url": "http://localhost:1/v1", "cache": "read"})


WORKER = """
import asyncio, json, sys
from w4s_gym.executors import ChatRequest, make_executor

url, folder, journal, count = *sys.argv[1:4], int(sys.argv[4])

async def main():
    executor = make_executor("openai:m", {"base_url": url, "cache_folder": folder, "concurrency": 8})
    print("started", flush=True)

    async def one(a):
        request = ChatRequest(
            messages=({"role": "user", "content": f"{a} + 1 ="},), json_keys=("answer",), n=1 + a % 3
        )
        reply = await executor.complete(request)
        with open(journal, "a") as file:
            file.write(f"{a}\\n")
        return [json.loads(c.text)["answer"] for c in reply.completions]

    answers = await asyncio.gather(*(one(a) for a in range(count)))
    print(json.dumps(answers), flush=True)

asyncio.run(main())
"""


def killed_and_restarted(server, folder, journal, items: int, kills: int, seed: int, parallel: int = 1):
    """Run the worker, kill it `kills` times at random moments, then let it end; return its answers."""
    moments = random.Random(seed)
    command = [sys.executable, "-c", WORKER, server.base_url, str(folder), str(journal), str(items)]
    for _ in range(kills):
        workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(parallel)]
        for worker in workers:
            assert worker.stdout is not None and worker.stdout.readline() == "started\n"
        time.sleep(moments.uniform(0.02, 0.5))
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
            worker.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_after_kills_nothing_that_was_answered_is_paid_again(serve, tmp_path, kills):
    items = 40 * kills
    server = serve("--latency", "0.03")
    journal = tmp_path / "journal"
    answers = killed_and_restarted(server, tmp_path / "cache", journal, items, kills, seed=kills)
    assert answers == [[str(a + 1)] * (1 + a % 3) for a in range(items)]
    served = server.report()["served"]
    # Only what was on its way at a kill (8 exchanges of up to 3 samples) is asked for again.
    again = sum(times - (1 + a % 3) for a in range(items) if (times := served[f"{a} + 1 ="]) > 1 + a % 3)
    assert again <= kills * 8 * 3
    before = server.report()["delivered"]
    assert killed_and_restarted(server, tmp_path / "cache", journal, items, 0, seed=0) == answers
    assert server.report()["delivered"] == before


def test_what_the_journal_knows_is_never_asked_again(serve, tmp_path):
    server = serve("--latency", "0.02")
    journal = tmp_path / "journal"
    command = [sys.executable, "-c", WORKER, server.base_url, str(tmp_path / "cache"), str(journal), "120"]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not journal.exists() or len(journal.read_text().splitlines()) < 20:
        time.sleep(0.01)
    worker.kill()
    worker.communicate()
    answered = {int(line) for line in journal.read_text().splitlines()}
    assert 20 <= len(answered) < 120
    server.reset()
    subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
    asked = {int(question.split()[0]) for question in server.report()["served"]}
    assert not asked & answered
    assert 120 - len(answered) - 8 <= len(asked) < 120  # 8 at most were stored but not yet in the journal


def test_two_processes_share_one_cache(serve, tmp_path):
    server = serve("--latency", "0.01")
    command = [sys.executable, "-c", WORKER, server.base_url, str(tmp_path / "cache"), str(tmp_path / "j"), "60"]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [worker.communicate(timeout=120)[0].splitlines()[-1] for worker in workers]
    assert outputs[0] == outputs[1] == json.dumps([[str(a + 1)] * (1 + a % 3) for a in range(60)])
