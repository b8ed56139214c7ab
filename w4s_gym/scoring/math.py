"""Scores mathematical answers by their value, with `math-verify` in a process of its own.

`math-verify` sets its time limits with signals, which fail outside the main thread, and a hostile expression can keep
sympy busy for ever. So a worker process compares, and is killed when it takes too long.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

from w4s_gym.benchmark import Item, RunTests
from w4s_gym.errors import ConfigError, SandboxUnavailable
from w4s_gym.scoring.text import LONGEST_TAIL, last_boxed, marked_answer

LONGEST_EXPRESSION = 500
"""Characters; a longer answer scores 0 unless it is the gold text."""

COMPARE_SECONDS = 5.0
_START_SECONDS = 60.0


def score_math(gold: str, answer: str) -> float:
    r"""Return 1.0 if `answer` has the value of `gold`, else 0.0. Safe in threads.

    Args:
        gold: LaTeX of the correct answer, without `\boxed` and dollar signs.
        answer: the reply; its last `\boxed{...}` counts, else what follows "answer is", else all of it.

    Raises:
        ConfigError: `math-verify` is not installed.
        SandboxUnavailable: the worker process does not start.
    """
    expression = last_boxed(answer)
    if expression is None:
        expression = marked_answer(answer) or answer[-LONGEST_TAIL:]
    expression = expression.strip().strip("$").strip().rstrip(".")
    if not expression or not gold.strip():
        return 0.0
    if "".join(expression.split()) == "".join(gold.split()):
        return 1.0
    if len(expression) > LONGEST_EXPRESSION:
        return 0.0
    return float(_worker().compare(gold, expression))


async def grade_math(item: Item, answer: str, run_tests: RunTests) -> float:
    """Grade with `score_math`, without blocking the event loop."""
    return await asyncio.to_thread(score_math, item.gold, answer)


class _Worker:
    """The comparing process: started when first used, started again after it was killed."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def compare(self, gold: str, expression: str) -> bool:
        """Compare two expressions; False if that takes too long or ends the process."""
        with self._lock:
            process = self._process or self._start()
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps([gold, expression]).encode() + b"\n")
                process.stdin.flush()
                reply = _read_line(process, COMPARE_SECONDS)
            except BrokenPipeError:
                reply = None
            if reply is None:
                self._stop()
            return reply == b"true"

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        if importlib.util.find_spec("math_verify") is None:
            raise ConfigError("expected the package `math-verify` to score MATH; install `w4s-gym[math]`")
        script = Path(__file__).with_name("math_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
        )
        if _read_line(self._process, _START_SECONDS) != b"ready":
            self._stop()
            raise SandboxUnavailable(f"expected the math scorer to start; try `{sys.executable} -I {script}` by hand")
        return self._process

    def _stop(self) -> None:
        if self._process is not None and self.owner == os.getpid():
            self._process.kill()
            self._process.communicate()
        self._process = None


_current = _Worker()


def _worker() -> _Worker:
    """Return the worker of this process (a forked process must not share its parent's)."""
    global _current
    if _current.owner != os.getpid():
        _current = _Worker()
    return _current


@atexit.register
def _close() -> None:
    _current.close()


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
