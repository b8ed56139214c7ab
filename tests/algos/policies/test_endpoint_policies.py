"""Policies behind an endpoint: frozen ones, and trained ones that a server samples from."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

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
            if self.path.endswith("/chat/completions"):
                text = f"{body['model']}: {body['messages'][-1]['content']}"
                choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "length"}
            else:
                choice = {"text": f"{body['model']}: {len(body['prompt'])}", "finish_reason": "length"}
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


def test_a_served_policy_sends_its_adapters_before_it_samples_and_after_each_change_and_only_then(server, random_llm):
    url, seen = server
    policy = make_policy(f"hf:{random_llm}", lora_rank=2, max_new_tokens=7, sampler=url)
    first = [s.text for s in policy.sample([ask("one")], 2, seed=0)[0]]
    policy.sample([ask("two")], 1, seed=0)
    (loaded,) = seen["adapters"]
    assert loaded[0] == "load_lora_adapter" and (Path(loaded[1]["lora_path"]) / "adapter_model.safetensors").is_file()
    old = loaded[1]["lora_name"]
    assert first == [f"{old}: {len(policy.codec.prompt(ask('one')))}"] * 2
    with torch.no_grad():
        policy.model.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight[0, 0] += 1e-3
    assert not policy.sample([ask("one")], 1, seed=0)[0][0].text.startswith(old)
    (_, load), (method, unload) = seen["adapters"][1:]
    assert load["lora_name"] != old and (method, unload["lora_name"]) == ("unload_lora_adapter", old)


def test_a_served_policy_asks_for_the_tokens_that_it_trains_on_and_for_the_undistorted_distribution(server, random_llm):
    url, seen = server
    policy = make_policy(f"hf:{random_llm}", lora_rank=2, max_new_tokens=7, temperature=0.7, sampler=url)
    samples = policy.sample([ask("one"), ask("two"), ask("one")], 3, seed=0)
    assert [len(group) for group in samples] == [3, 3, 3]
    assert all(s.truncated and s.prompt_tokens == len(policy.codec.prompt(ask("one"))) for s in samples[0])
    one, two = sorted(seen["requests"], key=lambda body: -body["n"])
    assert (one["prompt"], one["n"]) == (policy.codec.prompt(ask("one")), 6)  # the same twice: other samples
    assert (two["prompt"], two["n"]) == (policy.codec.prompt(ask("two")), 3)
    assert one["seed"] != two["seed"]
    switched_off = {"temperature": 0.7, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    assert switched_off.items() <= one.items()


def test_a_server_without_adapters_is_named(server, random_llm):
    url, seen = server
    seen["refuse"] = True
    policy = make_policy(f"hf:{random_llm}", lora_rank=2, max_new_tokens=7, sampler=url)
    with pytest.raises(ExecutorUnavailable, match="--enable-lora"):
        policy.sample([ask("one")], 1, seed=0)


def test_endpoints_are_given_the_first_words_and_go_on_from_them(server):
    url, seen = server
    policy = make_policy("openai:some-model", reply_form="code", max_new_tokens=7, endpoint={"base_url": url})
    (sample,) = policy.sample([ask("one")], 1, seed=5)[0]
    (request,) = seen["requests"]
    assert request["messages"] == [*ask("one"), {"role": "assistant", "content": "```python\ndef solver(agent, task"}]
    assert sample.text.startswith("```python\ndef solver(agent, tasksome-model") and sample.truncated
    policy.close()


def test_a_server_is_given_the_tokens_of_the_first_words_and_where_to_stop(server, random_llm):
    url, seen = server
    policy = make_policy(f"hf:{random_llm}", lora_rank=2, max_new_tokens=7, sampler=url, reply_form="code", min_p=0.1)
    (sample,) = policy.sample([ask("one")], 1, seed=0)[0]
    (request,) = seen["requests"]
    begun = policy.codec.target("```python\ndef solver(agent, task", truncated=True)
    assert request["prompt"] == [*policy.codec.prompt(ask("one")), *begun]
    assert (request["stop"], request["min_p"]) == (["\n```"], 0.1)
    assert sample.text.startswith("```python\ndef solver(agent, taskw4s-") and sample.truncated


def test_kept_texts_are_not_sampled_again_by_the_same_weights_and_only_by_them(server, random_llm, tmp_path):
    url, seen = server
    options = {"lora_rank": 2, "max_new_tokens": 7, "sampler": url, "texts": str(tmp_path)}
    policy = make_policy(f"hf:{random_llm}", **options)
    first = policy.sample([ask("one"), ask("two")], 2, seed=0)
    assert len(seen["requests"]) == 2
    again = make_policy(f"hf:{random_llm}", **options)
    assert again.sample([ask("one"), ask("two")], 2, seed=0) == first
    assert len(seen["requests"]) == 2 and len(seen["adapters"]) == 1  # a run that is made again needs no server
    assert again.sample([ask("one"), ask("three")], 2, seed=0)[0] == first[0]
    assert [r["prompt"] for r in seen["requests"][2:]] == [policy.codec.prompt(ask("three"))]
    again.sample([ask("one")], 2, seed=1)
    assert len(seen["requests"]) == 4, "another seed is another sample"
    with torch.no_grad():
        again.model.base_model.model.model.layers[0].self_attn.q_proj.lora_B["default"].weight[0, 0] += 1e-3
    again.sample([ask("one")], 2, seed=0)
    assert len(seen["requests"]) == 5, "other weights write other texts"
