"""The executor protocol: what answers the model calls of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from w4s_gym.benchmark import Item
from w4s_gym.usage import Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True)
class ChatRequest:
    """One call of a workflow to the executor."""

    messages: tuple[Mapping[str, str], ...]
    """Chat messages, system prompt included: `{"role": ..., "content": ...}`."""
    temperature: float = 1.0
    max_tokens: int = 4096
    n: int = 1
    """Number of samples."""
    json_keys: tuple[str, ...] = ()
    """If not empty, the reply must be one JSON object with exactly these string keys."""
    json_mode: bool = False
    """If true (and `json_keys` is empty), the reply must be some JSON object."""
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = None
    item: Item | None = None
    """Item the workflow works on. Simulated executors need it; real ones must not look at it."""
    benchmark: str = ""
    """Name of the item's benchmark, for simulated executors only."""
    draw: int = 0
    """Which independent draw of the executor's randomness: part of cache keys; a new draw is a fresh measurement."""
    model: str = ""
    """Which executor of a pool shall answer; empty where there is one executor only."""
    sample_index: int = 0
    """How many samples of this same prompt this run on this item has asked for before."""


@dataclass(frozen=True)
class Completion:
    """One sample."""

    text: str
    finish_reason: FinishReason = "stop"
    tool_calls: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class ChatReply:
    """Answer to a `ChatRequest`."""

    completions: tuple[Completion, ...]
    """`request.n` samples."""
    usage: Usage
    """What this call cost."""


@runtime_checkable
class Executor(Protocol):
    """Answers chat requests. One instance serves many concurrent calls on one event loop."""

    name: str
    """The string that made it, for instance `sim:gpt-4o-mini`."""
    simulated: bool
    """Whether figures made with it must be labelled simulated."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request.

        Raises:
            ExecutorUnavailable: the endpoint could not be asked after all retries.
        """
        ...

    async def close(self) -> None:
        """Free connections and processes. May be called twice."""
        ...


@runtime_checkable
class MeteredExecutor(Executor, Protocol):
    """An executor that can tell beforehand what a request may cost at most."""

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars) of a request; dollars are None when the price is unknown."""
        ...


@runtime_checkable
class PricedExecutor(Executor, Protocol):
    """An executor that can tell its price."""

    @property
    def price_per_million(self) -> tuple[float, float] | None:
        """US dollars per million tokens of prompts and of completions; None when it costs nothing or nobody knows."""
        ...


def most_tokens(request: ChatRequest) -> int:
    """Return an upper estimate of the tokens of one sample: prompt (a token per 3 bytes) plus the output limit."""
    prompt = sum(len(str(m.get("content", "")).encode()) for m in request.messages)
    return -(-prompt // 3) + 8 * len(request.messages) + request.max_tokens


def most_cost(executor: Executor, request: ChatRequest) -> tuple[int, float | None]:
    """Return upper estimates of (tokens, US dollars) for any executor; those that are not metered cost no dollars."""
    if isinstance(executor, MeteredExecutor):
        return executor.most(request)
    return request.n * most_tokens(request), 0.0
