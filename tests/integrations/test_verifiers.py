"""The recipe of docs/partners.md for verifiers: its episodes earn what those of Gymnasium do.

verifiers and openenv cannot be installed together, so this runs in an environment of its own (`.ci/installs`).
"""

import asyncio
import importlib
import json
import re
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gymnasium as gym
import pytest

from w4s_gym.action import format_action

pytest.importorskip("verifiers", reason="needs verifiers")
if shutil.which("uv") is None:
    pytest.skip("verifiers starts its chat loop by uv", allow_module_level=True)
from verifiers.v1.clients import EvalClientConfig, ModelContext
from verifiers.v1.utils.loaders import load_environment, resolve_env_config

PAGE = Path(__file__).parents[2] / "docs" / "partners.md"
GYM_ID = "W4S-ChainSum-v0"
OPTIONS = {"validation_size": 8, "test_size": 4, "max_turns": 2}
EXACT = """\
import re


def solver(agent, task):
    return {"answer": str(sum(int(n.replace(" ", "")) for n in re.findall(r"[+-]? ?\\d+", task)))}
"""
REPLIES = ["I would vote.", format_action("Add them in Python.", EXACT), format_action("Once more.", EXACT)]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The module of the page, where verifiers finds it."""
    name, code = re.search(r"```python\n# (workflow_design)\.py\n(.*?)```", PAGE.read_text(), re.DOTALL).groups()
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return name


@contextmanager
def model(replies, status=200):
    """A chat endpoint whose n-th turn of a conversation is the n-th reply; yields its address and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body["messages"])
            content = replies[sum(message["role"] == "assistant" for message in body["messages"])]
            head = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "scripted"}
            deltas = [({"role": "assistant", "content": content}, None), ({}, "stop")]
            chunks = [
                json.dumps({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
                for delta, reason in deltas
            ]
            sent = "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"]).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def play(recipe, url, seeds):
    config = {"taskset": {"id": recipe, "seeds": seeds}, "gym_id": GYM_ID, "options": OPTIONS}
    env = load_environment(resolve_env_config(config))
    context = ModelContext(model="scripted", client=EvalClientConfig(base_url=url))

    async def run():
        async with env.serving():
            slots = [slot for task in env.taskset for slot in env.slots(task, 1)]
            return await asyncio.gather(*(env.run_slot(slot, context) for slot in slots))

    return asyncio.run(run())


def test_episodes_earn_the_rewards_of_gymnasium(recipe):
    with model(REPLIES) as (url, asked):
        episodes = play(recipe, url, seeds=2)
    alone = gym.make(GYM_ID, disable_env_checker=True, **OPTIONS).unwrapped
    openings, news = [], []
    for seed, episode in enumerate(episodes):
        alone.reset(seed=seed)
        openings.append(alone.messages)
        rewards = []
        for reply in REPLIES:
            news.append(alone.messages[-1])
            rewards.append(alone.step(reply)[1])
        (trace,) = episode.traces
        assert episode.ok, episode.errors
        assert (trace.reward, trace.metrics["best_accuracy"]) == (max(rewards), alone.state.best) == (1.0, 1.0)
        assert trace.num_turns == len(REPLIES)
        assert trace.info["simulated"]
    alone.close()
    chats = [[{key: message[key] for key in ("role", "content")} for message in chat] for chat in asked]
    assert [chat for chat in chats if len(chat) == 2] in (openings, openings[::-1])  # the episodes are played at once
    assert sorted(chat[-1]["content"] for chat in chats) == sorted(message["content"] for message in news)


def test_a_failing_endpoint_is_no_score(recipe):
    with model(REPLIES, status=400) as (url, _):
        (episode,) = play(recipe, url, seeds=1)
    assert not episode.ok
    assert [trace.rewards for trace in episode.traces] == [{}]
