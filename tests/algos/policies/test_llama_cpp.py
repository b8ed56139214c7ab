"""Training in transformers, sampling in llama.cpp: the same weights, prompts and distribution on both sides."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import threading
import time
import urllib.request
from dataclasses import replace

import numpy as np
import pytest
import torch

from w4s_gym._loop import run_sync
from w4s_gym.algos import make_policy
from w4s_gym.algos.policies.gguf_adapter import permute
from w4s_gym.algos.policies.hf import HFPolicy
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError, UnknownModel
from w4s_gym.executors.model_process import ModelServer
from w4s_gym.models import find_model

NEEDED = ("xllamacpp", "gguf", "openai", "aiohttp")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.long
POSITIONS = 50
CANDIDATES = 5


def why_not(model: str) -> str:
    """Say why a model cannot be tried here; empty if it can."""
    if MISSING:
        return f"{', '.join(MISSING)} missing: pip install 'w4s-gym[local]'"
    try:
        find_model(model)
    except UnknownModel as error:
        return str(error)
    return ""


def ask(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def make():
    """Makes policies whose adapters are as after a training: small random numbers; one of each kind for the module."""
    made = {}

    def policy(model: str):
        if reason := why_not(model):
            pytest.skip(reason)
        if model not in made:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # the server gets as many: two on a core that others use wait for each other
            made[model] = make_policy(f"hf:{model}", lora_rank=4, temperature=0.8, max_new_tokens=16)
            torch.set_num_threads(threads)
            disturb(made[model])
        return made[model]

    yield policy
    for one in made.values():
        one.close()


def disturb(policy, seed=0):
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.03, generator=random)


def real_prompt(policy, longest):
    env = WorkflowDesignEnv("GSMSymbolic", "sim:gpt-4o-mini", validation_size=8, test_size=8)
    try:
        env.reset(seed=0)
        return policy.codec.prompt(env.messages)[:longest]
    finally:
        env.close()


def likeliest(server, tokens):
    """The likeliest next tokens and their log-probabilities after each of some beginnings of a text, by llama.cpp."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    async def one(url, beginning):
        body = {"prompt": beginning, "max_tokens": 1, "temperature": 0, "logprobs": CANDIDATES, "cache_prompt": True}
        request = urllib.request.Request(
            f"{url}/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with opener.open(request, timeout=600) as response:
            first = json.load(response)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return [(candidate["id"], candidate["logprob"]) for candidate in first]

    return [run_sync(server.use(lambda url, end=end: one(url, tokens[:end]))) for end in places(tokens)]


def places(tokens):
    return np.linspace(len(tokens) // 10, len(tokens), POSITIONS).astype(int).tolist()


def reference(policy, tokens):
    """Log-probabilities of the next token after each of these beginnings, by transformers."""
    with torch.no_grad():
        logits = policy.model(torch.tensor([tokens])).logits[0]
    return logits[[end - 1 for end in places(tokens)]].float().log_softmax(-1)


def agreement(expected, server, tokens):
    """Mean absolute difference of log-probabilities, and the share of positions with the same likeliest token."""
    differences, same = [], []
    for row, candidates in zip(expected, likeliest(server, tokens), strict=True):
        differences += [abs(row[token].item() - value) for token, value in candidates]
        same.append(row.argmax().item() == candidates[0][0])
    return float(np.mean(differences)), float(np.mean(same))


@pytest.mark.parametrize("model", ["smollm2-135m", "qwen2.5-coder-0.5b"])
def test_llama_cpp_with_trained_adapters_predicts_what_transformers_predicts(make, model):
    policy = make(model)
    tokens = real_prompt(policy, 400)
    policy.sample([ask("hi")], 1, seed=0)  # sends the adapters
    expected = reference(policy, tokens)
    difference, same = agreement(expected, policy._server, tokens)
    print(f"{model}: mean |difference| {difference:.3f}, same likeliest token at {same:.0%} of {POSITIONS} positions")
    assert difference <= 0.1 and same >= 0.9
    bare = ModelServer(replace(policy._server.settings, adapter=""), shared=False)
    difference, same = agreement(expected, bare, tokens)
    bare.close()
    print(f"{model}, adapters left out: {difference:.3f}, {same:.0%}")
    assert difference > 0.1 or same < 0.9  # the measure sees adapters that are left out


@pytest.fixture
def smollm(make):
    return make("smollm2-135m")


def texts(samples):
    return [[sample.text for sample in group] for group in samples]


def test_samples_are_reproducible_from_a_fresh_server_and_differ_by_seed_and_occurrence(smollm):
    smollm.close()
    first = texts(smollm.sample([ask("Count."), ask("Sing."), ask("Count.")], 3, seed=1))
    assert len({text for group in first for text in group}) > 6
    smollm.close()
    assert texts(smollm.sample([ask("Count."), ask("Sing."), ask("Count.")], 3, seed=1)) == first
    assert texts(smollm.sample([ask("Count.")], 3, seed=2)) != first[:1]


def test_a_sample_carries_its_token_counts_and_whether_it_was_cut(smollm):
    (samples,) = smollm.sample([ask("Tell a very long story.")], 3, seed=0)
    prompt = len(smollm.codec.prompt(ask("Tell a very long story.")))
    assert all(s.prompt_tokens == prompt and 0 < s.completion_tokens <= 17 for s in samples)
    assert any(s.truncated for s in samples)


def test_no_sample_comes_from_weights_that_are_out_of_date(smollm):
    smollm.close()
    before = texts(smollm.sample([ask("Count to ten.")], 3, seed=0))
    process = smollm._server.pid
    smollm.sample([ask("Count to ten.")], 3, seed=1)
    assert smollm._server.pid == process  # nothing changed: no restart
    weight = smollm.model.base_model.model.model.layers[3].mlp.up_proj.lora_B["default"].weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight += 1.0  # nobody is told
    try:
        assert texts(smollm.sample([ask("Count to ten.")], 3, seed=0)) != before
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert texts(smollm.sample([ask("Count to ten.")], 3, seed=0)) == before


def test_a_server_killed_in_the_middle_of_a_proposal_is_started_again_and_writes_the_same(make, smollm, monkeypatch):
    monkeypatch.setattr(smollm, "config", replace(smollm.config, max_new_tokens=300))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is there: proxies are not for this machine's own server
    smollm.close()
    expected = texts(smollm.sample([ask("Write a long poem about rain.")], 2, seed=5))
    smollm.close()
    killed = []

    def kill():
        while smollm._server.pid is None:
            time.sleep(0.01)
        process = smollm._server.pid
        while smollm._server._process._address is None:
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(process, signal.SIGKILL)
        killed.append(process)

    thread = threading.Thread(target=kill)
    thread.start()
    assert texts(smollm.sample([ask("Write a long poem about rain.")], 2, seed=5)) == expected
    thread.join()
    assert killed and smollm._server.pid not in killed


def test_the_server_grows_with_the_conversations(smollm, monkeypatch):
    monkeypatch.setattr("w4s_gym.algos.policies.llama_cpp._SMALLEST_CONTEXT", 64)
    smollm.sample([ask("hi")], 1, seed=0)
    smollm._restart(replace(smollm._server.settings, context=64))
    smollm.sample([ask("hi")], 1, seed=0)
    assert smollm._server.settings.context == 64
    smollm.sample([ask("word " * 100)], 1, seed=0)
    assert smollm._server.settings.context == 256
    with pytest.raises(ConfigError, match="context of 8192"):
        smollm.sample([ask("word " * 9000)], 1, seed=0)


def test_adapters_of_another_model_are_refused(smollm, random_llm, tmp_path):
    other = HFPolicy(random_llm, config=replace(smollm.config, sampler="transformers"))
    other.save(tmp_path / "other")
    with pytest.raises(ConfigError, match="another model"):
        smollm.load(tmp_path / "other")
    smollm.save(tmp_path / "own")
    smollm.load(tmp_path / "own")


def test_the_rows_of_llama_type_projections_are_permuted_as_llama_cpp_does():
    rows = np.arange(8)[:, None] * np.ones((1, 3))
    assert permute(rows, 1)[:, 0].tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
    assert permute(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_without_llama_cpp_the_policy_is_sampled_by_transformers_and_says_so(monkeypatch):
    if reason := why_not("smollm2-135m"):
        pytest.skip(reason)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "xllamacpp" else found(name))
    with pytest.warns(UserWarning, match=r"xllamacpp.*w4s-gym\[local\]"):
        policy = make_policy("hf:smollm2-135m", lora_rank=2, max_new_tokens=2)
    assert type(policy) is HFPolicy
    with pytest.raises(ConfigError, match=r"w4s-gym\[local\]"):
        make_policy("hf:smollm2-135m", lora_rank=2, sampler="llama.cpp")
    with pytest.raises(ConfigError, match="lora_rank"):
        monkeypatch.undo()
        make_policy("hf:smollm2-135m", sampler="llama.cpp")
