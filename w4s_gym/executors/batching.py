"""From exchanges, which may bring fewer samples than asked for, to complete replies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from w4s_gym.errors import ExecutorUnavailable
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, MeteredExecutor
from w4s_gym.usage import Usage

Ask = Callable[[ChatRequest], Awaitable[ChatReply]]
"""Answers a request with at least one and at most `request.n` samples, the first ones."""


class Endpoint(MeteredExecutor, Protocol):
    """A real model: an executor whose exchanges a cache can store one by one."""

    @property
    def identity(self) -> str:
        """What decides the replies besides the request: endpoint, model, fixed parameters. Part of cache keys."""
        ...

    def batch_size(self) -> int:
        """Return how many samples one exchange may bring, as far as is known."""
        ...

    def repeats(self, request: ChatRequest) -> bool:
        """Return whether the reply is the same in every draw and for every sample index, so that one is enough."""
        ...

    async def ask(self, request: ChatRequest) -> ChatReply:
        """Make one exchange: at least one and at most `request.n` samples, the first ones.

        Raises:
            ExecutorUnavailable: no answer after all retries.
            RequestRefused: the endpoint refuses this request as such.
        """
        ...


async def collect(ask: Ask, request: ChatRequest, batch_size: int) -> ChatReply:
    """Ask until all samples are there.

    Args:
        ask: makes one exchange.
        request: what is wanted.
        batch_size: most samples of one exchange.

    Raises:
        ExecutorUnavailable: some sample could not be had; `usage` holds what all the others cost.
        RequestRefused: the endpoint refuses the request.
    """
    if request.n <= batch_size:
        reply = await ask(request)
        got = len(reply.completions)
        if got >= request.n:
            return reply
        rest = await _together(ask, _parts(request, got, 1))
    else:
        reply = ChatReply((), Usage())
        rest = await _together(ask, _parts(request, 0, batch_size))
    completions: list[Completion] = list(reply.completions)
    usage = reply.usage
    failure: BaseException | None = None
    for outcome in rest:
        if isinstance(outcome, ChatReply):
            completions += outcome.completions
            usage = usage + outcome.usage
        else:
            failure = failure or outcome
            if isinstance(outcome, ExecutorUnavailable):
                usage = usage + (outcome.usage or Usage())
    if isinstance(failure, ExecutorUnavailable):
        raise ExecutorUnavailable(str(failure), usage) from failure
    if failure is not None:
        raise failure
    return ChatReply(tuple(completions), usage)


def _parts(request: ChatRequest, start: int, size: int) -> list[ChatRequest]:
    return [
        replace(request, n=min(size, request.n - first), sample_index=request.sample_index + first)
        for first in range(start, request.n, size)
    ]


async def _together(ask: Ask, parts: list[ChatRequest]) -> list[ChatReply | BaseException]:
    # Every part is waited for, also after a failure: it is paid, so its answer and its cost are kept.
    return await asyncio.gather(*(collect(ask, part, part.n) for part in parts), return_exceptions=True)
