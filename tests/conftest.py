"""Shared fixtures: a small benchmark whose test items are marked, and an executor that follows a script."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from w4s_gym.benchmark import _REGISTRY as _BENCHMARKS
from w4s_gym.benchmark import Benchmark, Item, SeedWorkflow, never_blocks, pure_grader, register_benchmark
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion
from w4s_gym.executors.own import _REGISTERED as _EXECUTORS
from w4s_gym.racing import Race
from w4s_gym.usage import Usage

DIRECT = """\
def solver(agent, task):
    reply = agent.call_json_format_llm(
        messages=[{"role": "user", "content": task}], temperature=0.0, return_dict_keys=["answer"]
    )[0]
    return {"answer": reply["answer"]}
"""

TEST_MARK = "TESTMARK"


def _toy_items() -> list[Item]:
    return [Item(f"toy/{i}", f"What is {i} plus {i}? Item number {i}.", str(2 * i), group="toy") for i in range(40)]


@never_blocks
def _score(gold: str, answer: str) -> float:
    return float(answer.strip() == gold)


def _toy() -> Benchmark:
    return Benchmark(
        name="Toy",
        description="Add two numbers.",
        answer_format="The number alone.",
        load=_toy_items,
        grade=pure_grader(_score),
        seeds=(SeedWorkflow("direct", DIRECT),),
        validation_size=16,
        test_size=12,
    )


register_benchmark("Toy", _toy)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests start first: one that started last would leave the other processors without work."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """What a test registers is gone after it: another would find its name taken, or known, by the luck of the order."""
    before = [(registry, dict(registry)) for registry in (_BENCHMARKS, _EXECUTORS, gym.registry)]
    yield
    for registry, entries in before:
        registry.clear()
        registry.update(entries)


class ScriptedExecutor:
    """Answers sums; the role of the prompt chooses how good it is. A real object on the executor protocol."""

    name = "scripted"
    simulated = True

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []
        self.fail: Callable[[ChatRequest], None] = lambda request: None

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        self.fail(request)
        text = " ".join(m["content"] for m in request.messages)
        number = int(re.search(r"Item number (\d+)", text).group(1))
        share = re.search(r"right in (\d+) of 10", text)
        right = (number * 7) % 10 < (int(share.group(1)) if share else 5)
        answer = str(2 * number) if right else "wrong"
        reply = json.dumps({"answer": answer}) if request.json_keys else answer
        usage = Usage(calls=request.n, prompt_tokens=10, completion_tokens=5 * request.n, dollars=0.001, seconds=0.1)
        return ChatReply(tuple(Completion(reply) for _ in range(request.n)), usage)

    async def close(self) -> None:
        return None


def action_right_in(share: int) -> str:
    """An action whose workflow makes the scripted executor answer right on `share` of 10 items."""
    workflow = DIRECT.replace(
        'return_dict_keys=["answer"]', f'return_dict_keys=["answer"], instructions="right in {share} of 10"'
    )
    return f"Try {share}.\n\n```python\n{workflow}```"


@pytest.fixture
def scripted() -> ScriptedExecutor:
    return ScriptedExecutor()


@pytest.fixture
def toy_env(scripted: ScriptedExecutor):
    """Makes environments of the toy benchmark on the scripted executor and closes them."""
    made: list[WorkflowDesignEnv] = []

    def make(benchmark: str | Benchmark = "Toy", **options: Any) -> WorkflowDesignEnv:
        # Tests count and draw among validation items; those of `feedback_items` say so.
        env = WorkflowDesignEnv(benchmark, scripted, **{"feedback_items": 0, **options})
        made.append(env)
        return env

    yield make
    for env in made:
        env.close()


@pytest.fixture
def right_in() -> Callable[[int], str]:
    return action_right_in


@pytest.fixture
def run_race() -> Callable[[Race, Sequence[float]], tuple[int, bool]]:
    """Races one candidate, given its score on every item; returns the number of items run and whether it survived."""

    def run(race: Race, scores: Sequence[float]) -> tuple[int, bool]:
        seen: dict[int, float] = {}
        for position in race.order:
            seen[position] = float(scores[position])
            if race.is_look(len(seen)) and race.gives_up(seen):
                return len(seen), False
        return len(seen), True

    return run


def _cpu_seconds(function: Callable[[str], Any], text: str) -> float:
    start = time.process_time()
    function(text)
    return time.process_time() - start


@pytest.fixture
def growth() -> Callable[..., float]:
    """Measures by which factor the CPU time grows when a text gets four times as long: 4 if linear, 16 if quadratic.

    Best of several runs, and a noise of milliseconds counts as linear, so a busy machine changes nothing.
    """

    def grow(function: Callable[[str], Any], unit: str, start: str = "", end: str = "", length: int = 60_000) -> float:
        small, large = (start + unit * (size // len(unit)) + end for size in (length, 4 * length))
        function(small[:100])  # whatever is started or imported at first use
        long = min(_cpu_seconds(function, large) for _ in range(2))
        if long < 0.02:
            return 4.0
        short = min(_cpu_seconds(function, small) for _ in range(3))
        return long / max(short, 0.002)

    return grow


@pytest.fixture(scope="session")
def random_llm(tmp_path_factory) -> Path:
    """Folder of a very small untrained Llama with the tiny meta-agent's kind of tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from w4s_gym.algos.policies.tiny.corpus import draw_rows
    from w4s_gym.algos.policies.tiny.model import train_tokenizer

    folder = tmp_path_factory.mktemp("random_llm")
    tokenizer = train_tokenizer(row.action for row in draw_rows(60, 0))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
