"""A chat with the simulated executor, put together as the agent's host does it, and items without data files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from w4s_gym.benchmark import Item
from w4s_gym.executors import ChatRequest
from w4s_gym.executors.sim import SimulatedExecutor


class Chat:
    """One workflow run on one item."""

    def __init__(self, executor: SimulatedExecutor, item: Item, benchmark: str = "", draw: int = 0) -> None:
        self.executor = executor
        self.item = item
        self.task = item.task
        self._benchmark = benchmark
        self._draw = draw
        self._asked: dict[Any, int] = {}

    def request(
        self,
        keys: Sequence[str],
        content: str | Sequence[dict[str, str]],
        *,
        n: int = 1,
        temperature: float = 0.8,
        role: str = "task solver",
        instructions: str = "",
        max_tokens: int = 4096,
    ) -> ChatRequest:
        system = f"You are a helpful {role}."
        if keys:
            system += f" Reply in JSON format, ONLY using the keys {list(keys)}."
        turns = [{"role": "user", "content": content}] if isinstance(content, str) else list(content)
        messages = ({"role": "system", "content": f"{system} {instructions}".strip()}, *turns)
        key = (json.dumps(messages), temperature, tuple(keys))
        index = self._asked.get(key, 0)
        self._asked[key] = index + n
        return ChatRequest(
            messages=messages,
            temperature=temperature,
            max_tokens=max_tokens,
            n=n,
            json_keys=tuple(keys),
            item=self.item,
            benchmark=self._benchmark,
            draw=self._draw,
            sample_index=index,
        )

    def ask(self, keys: Sequence[str], content: Any, **options: Any) -> list[dict[str, str]]:
        """Ask for JSON; replies that do not parse become empty strings."""
        found = []
        for completion in self.executor.answer(self.request(keys, content, **options)).completions:
            try:
                found.append(json.loads(completion.text))
            except ValueError:
                found.append(dict.fromkeys(keys, ""))
        return found

    def answer(self, content: Any = None, keys: Sequence[str] = ("reasoning", "answer"), **options: Any) -> str:
        """Ask once; return the last key."""
        return self.ask(keys, content or self.task, **options)[0][keys[-1]]

    def say(self, content: str, **options: Any) -> str:
        return self.executor.answer(self.request((), content, **options)).completions[0].text


def word_problems(count: int, languages: Sequence[str] = ("",)) -> list[Item]:
    """Return invented word problems whose text says nothing about their simulated difficulty."""
    items = []
    for i in range(count):
        a, b, c = 3 + i % 17, 5 + i % 23, 2 + i % 7
        task = (
            f"A shop (number {i}) sells {a} crates with {b} bottles each. {c} bottles break on every day of a week. "
            f"How many bottles are left after the week?"
        )
        items.append(Item(f"w/{i}", task, str(a * b - 7 * c), group=languages[i % len(languages)]))
    return items


@pytest.fixture
def make_items() -> Callable[..., list[Item]]:
    return word_problems


@pytest.fixture
def chat() -> type[Chat]:
    return Chat


@pytest.fixture(scope="session")
def gpt35() -> SimulatedExecutor:
    return SimulatedExecutor("sim:gpt-3.5-turbo")


@pytest.fixture(scope="session")
def mini() -> SimulatedExecutor:
    return SimulatedExecutor("sim:gpt-4o-mini")


@pytest.fixture
def accuracy() -> Callable[..., float]:
    def measure(
        executor: SimulatedExecutor, items: Sequence[Item], workflow: Callable[[Chat], str], benchmark: str = ""
    ) -> float:
        right = sum(str(workflow(Chat(executor, item, benchmark))).strip() == item.gold for item in items)
        return right / len(items)

    return measure
