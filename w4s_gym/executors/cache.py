"""Replies kept on disk, one entry per sample, so that no answered call is paid again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from w4s_gym.errors import ConfigError, ExecutorUnavailable
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, PricedExecutor
from w4s_gym.executors.batching import Endpoint, collect
from w4s_gym.executors.reply_store import ReplyStore, StoreFull
from w4s_gym.usage import Usage

_log = logging.getLogger(__name__)

CacheMode = Literal["off", "read", "write"]
"""`off`: not used. `read`: stored replies are used, new ones are not stored. `write`: used and stored."""

WhenFull = Literal["stop", "go on"]
"""What to do when replies can no longer be stored: ask nothing more, or go on without storing."""


@dataclass(frozen=True)
class Sample:
    """One stored sample with its share of the tokens of the reply it came in."""

    completion: Completion
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None = None
    """Price; None when it is unknown, as it is of samples that earlier versions stored."""

    def to_json(self) -> str:
        """Write the sample."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Sample:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        completion = data.pop("completion")
        completion["tool_calls"] = tuple(completion["tool_calls"])
        return cls(Completion(**completion), **data)

    @property
    def usage(self) -> Usage:
        """What it costs to use the stored sample: tokens are reported, nothing is paid."""
        return Usage(
            calls=1,
            cached_calls=1,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            empty=int(not self.completion.text.strip() and not self.completion.tool_calls),
            truncated=int(self.completion.finish_reason == "length"),
            cached_dollars=self.dollars,
        )


def sample_key(identity: str, request: ChatRequest, sample_index: int) -> str:
    """Return the key of one sample: endpoint, model, parameters, messages, draw and sample index; 64 hex digits."""
    parts: Mapping[str, Any] = {
        "identity": identity,
        "messages": [dict(m) for m in request.messages],
        "temperature": float(request.temperature),
        "max_tokens": request.max_tokens,
        "json_keys": list(request.json_keys),
        "json_mode": request.json_mode,
        "tools": [dict(t) for t in request.tools],
        "tool_choice": request.tool_choice,
        "draw": request.draw,
        "sample_index": sample_index,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def split_reply(reply: ChatReply) -> list[Sample]:
    """Share the cost of a reply among its samples.

    The prompt goes to the first, the output by length of the text, and so do the dollars.
    """
    lengths = [len(c.text) + 1 for c in reply.completions]
    total, sofar, given, paid = sum(lengths), 0, 0, 0.0
    price = reply.usage.full_dollars
    samples = []
    for i, (completion, length) in enumerate(zip(reply.completions, lengths, strict=True)):
        sofar += length
        upto = reply.usage.completion_tokens * sofar // total
        due = None if price is None else round(price * sofar / total, 10)
        dollars = None if due is None else round(due - paid, 10)
        samples.append(Sample(completion, 0 if i else reply.usage.prompt_tokens, upto - given, dollars))
        given, paid = upto, due or 0.0
    return samples


_Pending = dict[tuple[str, str], "asyncio.Future[Sample]"]
_in_flight: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pending] = weakref.WeakKeyDictionary()


class CachedExecutor:
    """Answers from a folder what was answered before, and asks `inner` for the rest.

    Several processes may share the folder. Requests for the same sample that are in flight at the same time in one
    process are asked once. A sample is stored as soon as it arrives, so a killed process loses only what was in flight.
    """

    simulated = False

    def __init__(
        self, inner: Endpoint, folder: str | Path, mode: CacheMode = "write", when_full: WhenFull = "stop"
    ) -> None:
        """Wrap `inner`.

        Args:
            inner: executor that is asked for what is not stored.
            folder: the cache's folder; made if it does not exist.
            mode: `read` or `write`.
            when_full: what to do when replies cannot be stored any more.

        Raises:
            ConfigError: an unknown mode, or a folder that shall be written and cannot be.
        """
        if when_full not in ("stop", "go on"):
            raise ConfigError(f"expected cache_full 'stop' or 'go on'; got {when_full!r}")
        if mode not in ("read", "write"):
            raise ConfigError(f"expected cache mode 'off', 'read' or 'write'; got {mode!r}")
        self.name = inner.name
        self.inner = inner
        self.stores = mode == "write"
        """Whether what is answered is kept."""
        self._when_full = when_full
        self._full = ""
        self._disk = ReplyStore(folder, writable=self.stores)
        self.folder = self._disk.folder

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request; only samples that are not stored are asked for.

        Raises:
            ExecutorUnavailable: `inner` could not answer, and samples that it did answer are stored and charged; or
                replies cannot be stored any more, so nothing is asked that would be paid again.
            RequestRefused: the endpoint refuses this request.
        """
        if not self.inner.repeats(request):
            return await self._complete(request)
        reply = await self._complete(replace(request, n=1, draw=0, sample_index=0))
        again = split_reply(reply)[0].usage
        return ChatReply(reply.completions * request.n, sum([again] * (request.n - 1), reply.usage))

    async def _complete(self, request: ChatRequest) -> ChatReply:
        pending = _in_flight.setdefault(asyncio.get_running_loop(), {})
        found: dict[int, Sample] = {}
        paid = Usage()
        while len(found) < request.n:
            missing = [i for i in range(request.n) if i not in found]
            keys = {i: (self.folder, self._key(request, i)) for i in missing}
            mine = [i for i in missing if keys[i] not in pending]
            for i in mine:
                pending[keys[i]] = asyncio.get_running_loop().create_future()
            futures = {i: pending[keys[i]] for i in missing}
            try:
                paid = paid + await self._answer(request, {i: futures[i] for i in mine})
            except ExecutorUnavailable as error:
                for i in mine:
                    if not futures[i].done():
                        futures[i].set_exception(ExecutorUnavailable(str(error)))
                        futures[i].exception()  # nobody may be waiting for it
                raise ExecutorUnavailable(str(error), paid + (error.usage or Usage())) from None
            finally:
                for i in mine:
                    futures[i].cancel()  # no effect on those that are done
                    del pending[keys[i]]
            for i in missing:
                if i not in mine:
                    await asyncio.wait([futures[i]])
                if futures[i].cancelled():
                    continue  # whoever was asking for it was cancelled: ask ourselves, in the next round
                failure = futures[i].exception()
                if failure is not None:
                    raise ExecutorUnavailable(str(failure), paid)
                found[i] = futures[i].result()
                if i not in mine:
                    paid = paid + found[i].usage
        return ChatReply(tuple(found[i].completion for i in range(request.n)), paid)

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars); stored samples cost no dollars."""
        tokens, dollars = self.inner.most(request)
        if dollars == 0.0:
            return tokens, dollars
        missing = sum(not self._disk.has(self._key(request, i)) for i in range(request.n))
        return tokens, self.inner.most(replace(request, n=missing))[1] if missing else 0.0

    @property
    def price_per_million(self) -> tuple[float, float] | None:
        """US dollars per million tokens of prompts and of completions, as `inner` tells them."""
        return self.inner.price_per_million if isinstance(self.inner, PricedExecutor) else None

    async def close(self) -> None:
        """Close the folder and `inner`. May be called twice."""
        self._disk.close()
        await self.inner.close()

    def _key(self, request: ChatRequest, offset: int) -> str:
        return sample_key(self.inner.identity, request, request.sample_index + offset)

    async def _answer(self, request: ChatRequest, wanted: Mapping[int, asyncio.Future[Sample]]) -> Usage:
        """Resolve the futures of the wanted samples from the disk or by asking; return what that cost."""
        paid = Usage()
        rest: list[int] = []
        stored = await asyncio.to_thread(self._load, [self._key(request, i) for i in wanted])
        for i, sample in zip(wanted, stored, strict=True):
            if sample is None:
                rest.append(i)
            else:
                wanted[i].set_result(sample)
                paid = paid + sample.usage

        async def ask_and_store(part: ChatRequest) -> ChatReply:
            if self._full and self._when_full == "stop":
                raise ExecutorUnavailable(
                    f"{self._full}. Nothing more is asked of {self.name}, since it would be paid again: make room, or "
                    "set cache_full='go on' in the executor's config"
                )
            reply = await self.inner.ask(part)
            samples = split_reply(reply)
            start = part.sample_index - request.sample_index
            if self.stores and not self._full:
                await asyncio.to_thread(self._store, {self._key(part, j): s for j, s in enumerate(samples)})
            for j, sample in enumerate(samples):
                wanted[start + j].set_result(sample)
            return reply

        for first, count in _runs(rest):
            part = replace(request, n=count, sample_index=request.sample_index + first)
            try:
                paid = paid + (await collect(ask_and_store, part, self.inner.batch_size())).usage
            except ExecutorUnavailable as error:
                raise ExecutorUnavailable(str(error), paid + (error.usage or Usage())) from None
        return paid

    def _load(self, keys: list[str]) -> list[Sample | None]:
        texts = [self._disk.get(key) for key in keys]
        return [None if text is None else _sample(text) for text in texts]

    def _store(self, samples: Mapping[str, Sample]) -> None:
        try:
            self._disk.put({key: sample.to_json() for key, sample in samples.items()})
        except StoreFull as error:
            # What was paid is handed on all the same.
            self._full = str(error)
            goes_on = "; answers go on without being stored" if self._when_full == "go on" else ""
            _log.error("%s%s", self._full, goes_on)


def _sample(text: str) -> Sample | None:
    """Read a stored sample; None if it was spoilt."""
    try:
        return Sample.from_json(text)
    except (ValueError, KeyError, TypeError):
        return None


def _runs(indices: list[int]) -> list[tuple[int, int]]:
    """Group increasing indices into (first, length) runs: [0, 1, 4] -> [(0, 2), (4, 1)]."""
    runs: list[tuple[int, int]] = []
    for i in indices:
        if runs and runs[-1][0] + runs[-1][1] == i:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((i, 1))
    return runs
