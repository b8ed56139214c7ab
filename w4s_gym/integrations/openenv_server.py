"""One OpenEnv server for many sessions, which share executor, sandbox, cache, places in flight, ledger and budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.types import ConcurrencyConfig

from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.integrations.openenv import WorkflowAction, WorkflowObservation, WorkflowSession, WorkflowState

PING_SECONDS = 30.0
"""Between two pings of a connection."""
PONG_SECONDS = 600.0
"""A client that answers no ping for so long is gone; one that trains in its event loop answers late."""

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]


def make_app(host: WorkflowDesignEnv, *, sessions: int = 64, idle_seconds: float = 3600.0) -> App:
    """Make the application; `uvicorn` serves it.

    Args:
        host: the environment whose siblings are played in; who made it closes it, after the server.
        sessions: most sessions at once; a further one is refused.
        idle_seconds: a session that nothing was asked of for so long is closed. One that works is never idle.
    """
    # OpenEnv's own reaper sees sessions without a connection, and does not see that one works.
    longest_step = 3 * host.config.limits.deadline_seconds
    app = create_fastapi_app(
        lambda: WorkflowSession(host.sibling()),
        WorkflowAction,
        WorkflowObservation,
        concurrency_config=ConcurrencyConfig(max_concurrent_envs=sessions, session_timeout=idle_seconds + longest_step),
        env_name=host.benchmark.name,
        state_cls=WorkflowState,
    )
    app.add_middleware(Watch, idle_seconds=idle_seconds)
    return app


class Watch:
    """Middleware that ends a session when its client is gone, also in the middle of a step, and when it is idle."""

    def __init__(self, app: App, idle_seconds: float) -> None:
        """Wrap an application."""
        self._app = app
        self._idle = idle_seconds

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Handle one connection or request."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        working = gone = False

        async def pump() -> None:
            nonlocal gone
            while not gone:
                message = await receive()
                gone = message["type"] == "websocket.disconnect"
                inbox.put_nowait(message)
            if working:
                session.cancel()  # a step that nobody waits for costs calls

        async def next_message() -> dict[str, Any]:
            nonlocal working
            try:
                message = await asyncio.wait_for(inbox.get(), self._idle)
            except TimeoutError:
                await send({"type": "websocket.close", "code": 1001, "reason": f"idle for {self._idle:g} s"})
                return {"type": "websocket.disconnect", "code": 1001}
            working = _asks_for_work(message)
            return message

        async def answer(message: dict[str, Any]) -> None:
            nonlocal working
            working = False
            await send(message)

        session = asyncio.ensure_future(self._app(scope, next_message, answer))
        pumping = asyncio.create_task(pump())
        try:
            await session
        except asyncio.CancelledError:
            if not gone:
                raise
        finally:
            pumping.cancel()


def _asks_for_work(message: dict[str, Any]) -> bool:
    try:
        asked = json.loads(message.get("text") or "null")
    except ValueError:
        return False
    return isinstance(asked, dict) and asked.get("type") in ("reset", "step")


def serve(host: WorkflowDesignEnv, address: str, port: int, *, sessions: int, idle_seconds: float) -> None:
    """Serve until Ctrl-C or SIGTERM; steps in flight are then cancelled."""
    import uvicorn

    app = make_app(host, sessions=sessions, idle_seconds=idle_seconds)
    uvicorn.run(
        app,
        host=address,
        port=port,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        timeout_graceful_shutdown=5,
        log_level="warning",
    )
