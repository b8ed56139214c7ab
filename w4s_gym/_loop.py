"""One background event loop per process, shared by all environments."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0


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
    """Run a coroutine on the shared loop and wait for it; Ctrl-C cancels it before it is passed on."""
    future = asyncio.run_coroutine_threadsafe(coroutine, shared_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
