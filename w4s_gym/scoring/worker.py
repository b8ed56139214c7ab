"""Processes that do for the host what hostile text could make slow or fatal: a JSON line in, a JSON line out."""

from __future__ import annotations

import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from w4s_gym.errors import SandboxUnavailable

_START_SECONDS = 60.0


class Workers:
    """A few processes that run the same script, started when needed and again after one had to be killed.

    A script writes `ready`, then for every line that it reads one line. It imports nothing of this package.
    """

    def __init__(self, script: str, count: int, environment: Mapping[str, str] | None = None) -> None:
        """Plan `count` processes.

        Args:
            script: file beside this one.
            count: most processes at a time; further callers wait.
            environment: environment variables of the processes; default: none.
        """
        self.script = Path(__file__).with_name(script)
        self._count = count
        self._environment = {} if environment is None else dict(environment)
        self._owner = -1
        self._lock = threading.Lock()
        self._idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        self._threads: ThreadPoolExecutor
        self._finalizer: Any = None

    def ask(self, request: Any, seconds: float) -> Any:
        """Send one request and return the answer; None if there was none within `seconds`. Safe in threads and forks.

        Raises:
            SandboxUnavailable: the process does not start.
        """
        idle = self._ready()
        process = idle.get()
        reply = None
        try:
            if process is None or process.poll() is not None:
                process = self._start()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
                reply = _read_line(process, seconds)
            except BrokenPipeError:
                reply = None
        finally:
            if reply is None:
                _end(process)
                process = None
            idle.put(process)
        return json.loads(reply) if reply else None

    def _ready(self) -> queue.LifoQueue[subprocess.Popen[bytes] | None]:
        """Return the idle processes of this process (a forked one must not share its parent's)."""
        with self._lock:
            if self._owner != os.getpid():
                self._owner = os.getpid()
                self._idle = queue.LifoQueue()
                for _ in range(self._count):
                    self._idle.put(None)
                self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="w4s-worker")
                self._finalizer = weakref.finalize(self, _end_all, self._idle, self._owner)
            return self._idle

    @property
    def threads(self) -> ThreadPoolExecutor:
        """Threads to `ask` from, one for each process: of their own, so that slow answers keep nothing else waiting."""
        self._ready()
        return self._threads

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", str(self.script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )
        if _read_line(process, _START_SECONDS) != b"ready":
            _end(process)
            raise SandboxUnavailable(
                f"expected a worker process to start; try `{sys.executable} -I {self.script}` by hand"
            )
        return process


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.communicate()


def _end_all(idle: queue.LifoQueue[subprocess.Popen[bytes] | None], owner: int) -> None:
    while owner == os.getpid() and not idle.empty():
        _end(idle.get())


def _read_line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """Read one line within a time limit; None when there is none."""
    assert process.stdout is not None
    deadline, line = time.monotonic() + seconds, b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not chunk:
            return None
        line += chunk
    return line.strip()
