"""Policies behind an endpoint: frozen ones, and trained ones that a server samples from."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from w4s_gym.algos import make_policy
from w4s_gym.errors import ExecutorUnavailable


@pytest.fixture
def server():
    """An OpenAI-compatible server that knows adapters and answers with the model's name and the question."""
    seen = {"adapters": [], "requests": [], "refuse": False}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("_lora_adapter"):
                seen["adapters"].append((self.path.rsplit("/", 1)[-1], body))
                self.reply(400 if seen["refuse"] else 200, {"message": "no adapters here"})
                return
            seen["requests"].append(body)
            text = f"{body['model']}: {body['messages'][-1]['content']}"
            choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "length"}
            choices = [{"index": i, **choice} for i in range(body.get("n") or 1)]
            usage = {"prompt_tokens": 3, "completion_tokens": 7 * len(choices), "total_tokens": 3 + 7 * len(choices)}
            self.reply(200, {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
                             "choices": choices, "usage": usage})  # fmt: skip

        def reply(self, code, body):
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/v1", seen
    http.shutdown()


def ask(text):
    return [{"role": "user", "content": text}]


def test_an_endpoint_writes_m_texts_for_each_conversation(server):
    url, seen = server
    policy = make_policy("openai:some-model", temperature=0.3, max_new_tokens=7, endpoint={"base_url": url})
    samples = policy.sample([ask("one"), ask("two")], 3, seed=5)
    assert [[s.text for s in group] for group in samples] == [["some-model: one"] * 3, ["some-model: two"] * 3]
    assert all(s.truncated for group in samples for s in group)
    assert {r["temperature"] for r in seen["requests"]} == {0.3}
    assert policy.usage.calls == 6
    policy.close()


def test_a_served_policy_sends_its_adapters_before_it_samples_and_after_each_change(server, random_llm):
    url, seen = server
    policy = make_policy(f"hf:{random_llm}", lora_rank=2, max_new_tokens=7, server=url)
    assert policy.sample([ask("one")], 2, seed=0)[0][0].text == "w4s-1: one"
    policy.sample([ask("two")], 1, seed=0)
    assert [(method, body["lora_name"]) for method, body in seen["adapters"]] == [("load_lora_adapter", "w4s-1")]
    policy.weights_changed()
    assert policy.sample([ask("one")], 1, seed=0)[0][0].text == "w4s-2: one"
    assert [(method, body["lora_name"]) for method, body in seen["adapters"][1:]] == [
        ("load_lora_adapter", "w4s-2"),
        ("unload_lora_adapter", "w4s-1"),
    ]


def test_a_server_without_adapters_is_named(server, random_llm):
    url, seen = server
    seen["refuse"] = True
    policy = make_policy(f"hf:{random_llm}", lora_rank=2, max_new_tokens=7, server=url)
    with pytest.raises(ExecutorUnavailable, match="--enable-lora"):
        policy.sample([ask("one")], 1, seed=0)
