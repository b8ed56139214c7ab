"""A model server in a process of its own: started when it is needed, and again after a crash."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

from w4s_gym.errors import ConfigError, ExecutorUnavailable

T = TypeVar("T")

_STARTS = 2


@dataclass(frozen=True)
class Engine:
    """A library that serves GGUF files."""

    package: str
    """Its importable package."""
    distribution: str
    """Where its version is found."""
    extra: str
    """Of this package; installs it."""
    program: str
    """Module that serves with it."""


ENGINES = {
    "llama.cpp": Engine("xllamacpp", "xllamacpp", "local", "w4s_gym.executors.llama_server"),
    "openvino": Engine("openvino_genai", "openvino-genai", "openvino", "w4s_gym.executors.openvino_server"),
}


class ServerEnded(ExecutorUnavailable):
    """The server was started as often as allowed and ended each time while it was asked."""


@dataclass(frozen=True)
class ServerSettings:
    """What a server is started with."""

    gguf: str
    """Path of the model."""
    adapter: str = ""
    """Path of a LoRA adapter as a GGUF file, applied to everything."""
    slots: int = 1
    """Requests decoded together."""
    context: int = 4096
    """Tokens (prompt plus completion) of a slot."""
    threads: int = 0
    """CPU threads; 0 means half of the cores."""
    reuse_prompts: bool = False
    """Start from the part of a prompt that a slot has seen before."""
    engine: str = "llama.cpp"
    """Key of `ENGINES`; only llama.cpp takes an adapter."""


class ModelServer:
    """A server that its owner asks through `use`.

    Several owners with equal settings may share one process (`shared`). It dies with the process of its owner.
    """

    def __init__(self, settings: ServerSettings, *, shared: bool = True) -> None:
        """Prepare a server; nothing is started.

        Raises:
            ConfigError: the engine is not installed.
        """
        engine = ENGINES[settings.engine]
        if importlib.util.find_spec(engine.package) is None:
            raise ConfigError(f"serving {settings.gguf} needs {settings.engine}: pip install 'w4s-gym[{engine.extra}]'")
        self.settings = settings
        self._shared = shared
        self._process: _Process | None = None

    async def use(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """Call `ask` with the server's base URL; once more with that of a new server when this one dies meanwhile.

        Raises:
            ServerEnded: it keeps ending while it is asked.
            ExecutorUnavailable: it cannot be started; or what `ask` raises.
        """
        for start in range(_STARTS):
            process = self._running()
            url = await asyncio.to_thread(process.address)
            try:
                return await ask(url)
            except ExecutorUnavailable as error:
                if process.alive:
                    raise
                if start == _STARTS - 1:
                    raise ServerEnded(
                        f"{self.settings.engine} ended {_STARTS} times while it was asked (exit code {process.code}; "
                        f"-9: killed, for instance for want of memory): {error}",
                        error.usage,
                    ) from error
        raise AssertionError("the last start returns or raises")

    @property
    def pid(self) -> int | None:
        """Process number of the running server."""
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """Stop the server unless another owner uses it. May be called twice."""
        process, self._process = self._process, None
        if process is not None:
            self._release()

    def _running(self) -> _Process:
        if self._process is not None and not self._process.alive:
            self.close()
        if self._process is None:
            self._process = _Process.shared(self.settings) if self._shared else _Process(self.settings)
            # Also called when this object is dropped, and when the program ends.
            self._release = weakref.finalize(self, self._process.release)
        return self._process


class _Process:
    """A server process."""

    _running: dict[ServerSettings, _Process] = {}  # noqa: RUF012 - one table for the whole process

    def __init__(self, settings: ServerSettings) -> None:
        """Start the process; `address` waits for it."""
        self._owner = os.getpid()
        self._engine = settings.engine
        self._users = 0
        self._address: str | None = None
        self._lock = threading.Lock()
        told = {
            **asdict(settings),
            "threads": settings.threads or max(1, (os.cpu_count() or 1) // 2),
            "owner": self._owner,
        }
        # The kernel kills the server when the thread that started it ends, so it is started from the event loop's.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", ENGINES[settings.engine].program, json.dumps(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    @classmethod
    def shared(cls, settings: ServerSettings) -> _Process:
        """Return the running server with these settings, or start one; each call needs one `release`."""
        process = cls._running.get(settings)
        if process is None or not process.alive or process._owner != os.getpid():
            process = cls._running[settings] = cls(settings)
        process._users += 1
        return process

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

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
                    raise ExecutorUnavailable(
                        f"{self._engine} did not start (is the file a GGUF model, whole, and the adapter one of it?): "
                        f"{said}"
                    )
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
