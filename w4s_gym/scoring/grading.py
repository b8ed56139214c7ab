"""Runs graders so that no answer makes one keep the event loop, or the run, waiting."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import contextvars
import ctypes
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any
from weakref import WeakKeyDictionary

from w4s_gym.benchmark import Grader, Item, PureGrader, RunTests, Score
from w4s_gym.errors import ConfigError, SandboxUnavailable
from w4s_gym.plugins import MODULE_PREFIX
from w4s_gym.sandbox.types import TestJob, TestOutcome
from w4s_gym.scoring.worker import Workers

SECONDS = 10.0
"""Most that a grader which is not declared with `never_blocks` may take for one answer: CPU time of a pure function;
of other graders wall clock, without that of the tests they run."""

_WALL_SECONDS = 60.0
"""Wall clock of a pure function, which may sleep, and whose machine may be busy."""

_log = logging.getLogger(__name__)
_THREADS = 8
"""Graders that run in threads at a time."""

_GRACE_SECONDS = 0.2
"""Time between cancelling a grader and interrupting it."""

_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
_workers = Workers("grader_worker.py", max(2, os.cpu_count() or 1), os.environ)


class GraderError(Exception):
    """A grader raised in another process."""

    def __init__(self, kind: str, message: str) -> None:
        """Keep the name of the exception's class and its text."""
        super().__init__(message)
        self.kind = kind


async def grade_off_loop(grader: Grader, item: Item, answer: str, run_tests: RunTests) -> Any:
    """Return what a grader makes of an answer.

    What is declared with `never_blocks` is called here. Another pure function runs in a process of its own, since no
    regular expression lets anything else of its process run, and another grader in a thread.

    Raises:
        TimeoutError: it took too long.
        GraderError: it raised in another process.
        Exception: what it raised here.
    """
    if not isinstance(grader, PureGrader):
        if getattr(grader, "never_blocks", False):
            return await grader(item, answer, run_tests)
        return await _in_thread(grader, item, answer, run_tests)
    score = grader.score(item)
    if getattr(score, "never_blocks", False):
        return score(item.gold, answer)
    try:
        request: dict[str, Any] = {"score": _packed_score(score), "gold": _packed(item.gold)}
    except Exception as error:  # whatever its parts raise when they are pickled
        return await _without_process(str(error), grader, item, answer, run_tests)
    request |= {"answer": answer, "path": sys.path, "cpu_seconds": SECONDS}
    reply = await asyncio.get_running_loop().run_in_executor(_workers.threads, _workers.ask, request, _WALL_SECONDS)
    if reply is None:
        raise TimeoutError(f"it took more than {SECONDS:g} s of CPU time, or ended its process")
    if "not_loaded" in reply:
        return await _without_process(reply["not_loaded"], grader, item, answer, run_tests)
    if "error" in reply:
        kind, message = reply["error"]
        known = {"ConfigError": ConfigError, "SandboxUnavailable": SandboxUnavailable}
        raise known[kind](message) if kind in known else GraderError(kind, message)
    return reply["score"]


async def _without_process(why: str, grader: PureGrader, item: Item, answer: str, run_tests: RunTests) -> Any:
    _warn_once(f"a grader runs in a thread, where it can hold up the run: it cannot be sent to a process ({why})")
    return await _in_thread(grader, item, answer, run_tests)


@functools.cache
def _warn_once(text: str) -> None:
    _log.warning(text)


@functools.lru_cache(maxsize=256)
def _packed_score(score: Score) -> str:
    import cloudpickle  # deferred: most runs need none

    module = sys.modules.get(getattr(score, "__module__", ""))
    if module is not None and module.__name__.startswith(MODULE_PREFIX):
        cloudpickle.register_pickle_by_value(module)  # no other process can import it
    return _packed(score)


def _packed(value: Any) -> str:
    import cloudpickle

    return base64.b64encode(cloudpickle.dumps(value)).decode()


async def _in_thread(grader: Grader, item: Item, answer: str, run_tests: RunTests) -> Any:
    """Run a grader on an event loop of its own, in a thread, which is ended when its time is up."""
    loop = asyncio.get_running_loop()
    testing, left = 0, SECONDS

    async def count(job: TestJob) -> TestOutcome:
        nonlocal testing, left
        if not testing:
            left = (limit.when() or 0.0) - loop.time()
            limit.reschedule(None)
        testing += 1
        try:
            return await run_tests(job)
        finally:
            testing -= 1
            if not testing:
                limit.reschedule(loop.time() + left)

    async def there() -> Any:
        async def tests(job: TestJob) -> TestOutcome:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(count(job), loop))

        return await grader(item, answer, tests)

    async with _gates.setdefault(loop, asyncio.Semaphore(_THREADS)):
        run = _Thread(there)
        try:
            async with asyncio.timeout(SECONDS) as limit:
                return await asyncio.wrap_future(run.result)
        except TimeoutError as error:
            raise TimeoutError(f"it took longer than {SECONDS:g} s") if limit.expired() else error from None
        finally:
            run.end()


class _Thread:
    """Runs a coroutine on an event loop of its own."""

    def __init__(self, coroutine: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Start at once, in a copy of the caller's context."""
        self.result: Future[Any] = Future()
        self.result.set_running_or_notify_cancel()
        self._coroutine = coroutine
        self._loop: asyncio.AbstractEventLoop | None = None
        # A daemon: a grader that cannot be ended must not keep the interpreter from leaving.
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._run,), daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result.set_result(asyncio.run(self._main()))
        except Exception as error:
            self.result.set_exception(error)
        except BaseException as error:  # as SystemExit, it would end more than this thread
            self.result.set_exception(RuntimeError(f"{type(error).__name__}: {error}"))

    async def _main(self) -> Any:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        return await self._coroutine()

    def end(self) -> None:
        """End it if it still runs: where it awaits something, else by an exception in the midst of its Python code."""
        if self.result.done():
            return
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it ends at this moment
                self._loop.call_soon_threadsafe(self._task.cancel)
        asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._interrupt)

    def _interrupt(self) -> None:
        if not self.result.done() and self._thread.ident is not None:
            thread, error = ctypes.c_ulong(self._thread.ident), ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)
