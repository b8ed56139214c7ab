"""A real model on this machine, without key or network: llama.cpp or OpenVINO serving a GGUF file."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from w4s_gym.errors import ConfigError, RequestRefused
from w4s_gym.executors.base import ChatReply, ChatRequest, most_tokens
from w4s_gym.executors.batching import collect
from w4s_gym.executors.model_process import ENGINES, ModelServer, ServerEnded, ServerSettings
from w4s_gym.executors.openai_api import OpenAIExecutor
from w4s_gym.models import file_hash, find_model
from w4s_gym.options import from_fields

_WITHOUT_INFLUENCE = ("threads", "attempt_seconds")
"""Settings that do not change replies, so that replies in a cache are good for all their values."""


@dataclass(frozen=True)
class LocalConfig:
    """How to serve a local model. Everything but `_WITHOUT_INFLUENCE` may change replies."""

    parallel: int = 1
    """Requests decoded together."""
    context: int = 4096
    """Tokens (prompt plus completion) of one request."""
    reply_tokens: int = 4096
    """Most tokens of a sample, whatever the workflow asks for: small models often write until the limit."""
    threads: int = 0
    """CPU threads; 0 means half of the cores. Threads wait for each other at every layer, so each needs a core of its
    own: one too many on a busy machine makes a reply many times slower."""
    reuse_prompts: bool = False
    """Start from the part of the prompt that a slot has seen before: faster for long prompts, but a reply may then
    depend on what was asked before."""
    attempt_seconds: float = 900.0
    """Deadline of one request, waiting inside the server included."""
    engine: str = "llama.cpp"
    """What serves: `llama.cpp`, everywhere; or `openvino`, on x86 and ARM processors without a GPU, where many requests
    decoded together are what counts (bench/engines.py)."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        if self.parallel < 1 or self.context < 64 or self.reply_tokens < 1 or self.threads < 0:
            raise ConfigError(
                f"executor config: expected parallel >= 1, context >= 64, reply_tokens >= 1, threads >= 0; got {self}"
            )
        if self.engine not in ENGINES:
            raise ConfigError(f"executor config: expected engine among {', '.join(ENGINES)}; got {self.engine!r}")


class LocalExecutor:
    """Serves a GGUF file in a process of its own and asks it like any other endpoint.

    The server starts with the first request and is shared by all executors of the process with the same settings. It
    dies with its owner; when it crashes it is started again. JSON replies are decoded under a schema. Each sample is
    asked for by itself, with a seed that depends on prompt, draw and sample index.
    """

    simulated = False

    def __init__(self, spec: str, config: Mapping[str, Any] | None = None) -> None:
        """Find the model; nothing is started.

        Args:
            spec: `local:<name in w4s_gym.models>` or `local:<path of a GGUF file>`.
            config: fields of `LocalConfig`.

        Raises:
            UnknownModel: neither a known name nor a file; or the file is missing or not the official one.
            ConfigError: an unusable config; or the engine is not installed.
        """
        self.name = spec
        self.config = from_fields(LocalConfig(), config, "executor config")
        self.gguf = find_model(spec.partition(":")[2])
        self._server = ModelServer(
            ServerSettings(
                str(self.gguf),
                slots=self.config.parallel,
                context=self.config.context,
                threads=self.config.threads,
                reuse_prompts=self.config.reuse_prompts,
                engine=self.config.engine,
            )
        )
        self._endpoint: OpenAIExecutor | None = None
        self._alone: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    @cached_property
    def identity(self) -> str:
        """What decides the replies besides the request: the file's hash, the version of the engine, the settings."""
        distribution = ENGINES[self.config.engine].distribution
        settings = asdict(self.config)
        for name in (*_WITHOUT_INFLUENCE, "engine"):
            del settings[name]
        return json.dumps([distribution, importlib.metadata.version(distribution), file_hash(self.gguf), settings])

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request with `request.n` samples.

        Raises:
            ExecutorUnavailable: the server cannot be started or keeps crashing.
            RequestRefused: the prompt does not fit into the context.
        """
        return await collect(self.ask, request, self.batch_size())

    def batch_size(self) -> int:
        """Return 1: each sample has its own seed."""
        return 1

    def repeats(self, request: ChatRequest) -> bool:
        """Return whether the temperature is 0: the seed has no influence then."""
        return request.temperature == 0

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars): it costs nothing."""
        return request.n * most_tokens(self._limited(request)), 0.0

    async def ask(self, request: ChatRequest) -> ChatReply:
        """Ask for one sample; starts the server if it does not run.

        Raises:
            ExecutorUnavailable: the server cannot be started or keeps crashing.
            RequestRefused: the prompt does not fit into the context.
        """
        limited = self._limited(request)

        async def ask_at(url: str) -> ChatReply:
            return await (await self._endpoint_at(url)).ask(limited)

        try:
            return await self._server.use(ask_at)
        except ServerEnded:
            # Without the others that were asked meanwhile, to find out which request ends it.
            async with self._alone.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                try:
                    return await self._server.use(ask_at)
                except ServerEnded as error:
                    raise RequestRefused(f"{self.name}: this request ends the server, also alone: {error}") from None

    def _limited(self, request: ChatRequest) -> ChatRequest:
        return replace(request, max_tokens=min(request.max_tokens, self.config.reply_tokens))

    async def close(self) -> None:
        """Stop the server unless another executor uses it. May be called twice."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()
        self._server.close()

    async def _endpoint_at(self, url: str) -> OpenAIExecutor:
        if self._endpoint is None or self._endpoint.config.base_url != url:
            old, self._endpoint = (
                self._endpoint,
                OpenAIExecutor(
                    "openai:local",
                    {
                        "base_url": url,
                        "key_env": "",
                        "price": {"input": 0.0, "output": 0.0},
                        "capabilities": {"n": False, "seed": True, "json_schema": True, "max_tokens": True},
                        "context_window": self.config.context,
                        "concurrency": 2 * self.config.parallel,  # a slot that gets free finds the next request waiting
                        "attempts": 3,  # a server that has ended does not come back by itself: `ModelServer` starts it
                        "attempt_seconds": self.config.attempt_seconds,
                        "call_seconds": self.config.attempt_seconds,
                    },
                ),
            )
            if old is not None:
                await old.close()
        return self._endpoint
