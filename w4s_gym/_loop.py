"""One background event loop per process, shared by all environments."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0


class _Driven(threading.local):
    """The event loop (or None) under whose eyes `finish` drives a coroutine in this thread."""

    by: tuple[asyncio.AbstractEventLoop | None] | None = None


_driven = _Driven()


def shared_loop() -> asyncio.AbstractEventLoop:
    """Return this process's loop; started at first use, and anew after a fork."""
    global _loop, _owner
    with _lock:
        if _loop is None or _owner != os.getpid():
            _loop, _owner = asyncio.new_event_loop(), os.getpid()
            threading.Thread(target=_loop.run_forever, name="w4s-gym-loop", daemon=True).start()
        return _loop


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # a thread of the other process may hold the old one


os.register_at_fork(after_in_child=_after_fork)


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the shared loop and wait for it; Ctrl-C cancels it before it is passed on.

    Raises:
        RuntimeError: called on the shared loop, which would wait for itself.
    """
    if _running_loop() is shared_loop():
        coroutine.close()
        raise RuntimeError("expected to be called outside the shared event loop; await the coroutine there")
    future = asyncio.run_coroutine_threadsafe(coroutine, shared_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def on_shared_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine that runs on the shared loop, from any loop; under `finish`, block instead.

    A caller that is cancelled cancels the coroutine, and goes on when it has ended: its books are balanced by then.
    """
    home = shared_loop()
    if _running_loop() is home:
        return await coroutine
    if _blocks():
        return run_sync(coroutine)
    outcome: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def begin() -> None:
        tasks.append(home.create_task(coroutine))
        tasks[0].add_done_callback(pass_on)

    def pass_on(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            outcome.cancel()
        elif (error := task.exception()) is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(task.result())

    home.call_soon_threadsafe(begin)
    waiting = asyncio.wrap_future(outcome)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        home.call_soon_threadsafe(lambda: tasks[0].cancel())
        await asyncio.wait([waiting])
        if not waiting.cancelled():
            waiting.exception()  # seen: the cancellation is what is passed on
        raise


async def in_thread(function: Callable[[], T]) -> T:
    """Await a function that may block, in a thread of its own; under `finish`, call it."""
    return function() if _blocks() else await asyncio.to_thread(function)


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in this thread without an event loop, also where one is running, as in a notebook.

    What it awaits through `on_shared_loop` and `in_thread` blocks instead; it may await nothing else.
    """
    before, _driven.by = _driven.by, (_running_loop(),)
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    finally:
        _driven.by = before
    coroutine.close()
    raise RuntimeError("expected a coroutine that waits only through on_shared_loop and in_thread")


def _blocks() -> bool:
    return _driven.by is not None and _driven.by[0] is _running_loop()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
