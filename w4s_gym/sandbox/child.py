"""Host side of one confined child: its channel, its clock, its calls, how it ended."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from w4s_gym.sandbox.inside import frames, schema
from w4s_gym.sandbox.types import CallHandler, Limits, Status, WorkflowCallError
from w4s_gym.sandbox.zygote_process import Exit, ZygoteProcess

MAX_PENDING_CALLS = 64
"""Calls of one workflow that may be pending; more wait in its channel."""

MAX_PENDING_BYTES = 8_000_000
"""Size of the calls of one workflow that may be pending; more wait in its channel."""

GRACE_SECONDS = 0.25
"""Time between asking a child to say where it hangs and killing it."""


BUSY_SHARE = 0.02
"""Part of the wall limit that a child must have spent computing to get more wall clock."""

MAX_EXTENSIONS = 4
"""How often a child that computes gets its wall limit again (the CPU limit and the absolute limit stay)."""


@dataclass
class Ending:
    """How a child ended, before it is put into words."""

    status: Status
    result: dict[str, Any] | None = None
    """Body of the result frame."""
    detail: str = ""
    """What the host has to say about it."""
    cpu_seconds: float = 0.0
    error: BaseException | None = None
    """Exception of the call handler, for `infrastructure`."""


class Slots:
    """Bounds how many children compute at the same time; first come, first served."""

    def __init__(self, count: int) -> None:
        """Allow `count`."""
        self._free = count
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_take(self) -> bool:
        """Take a slot if one is free."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def take(self) -> None:
        """Wait for a free slot."""
        if self.try_take():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Hand a slot to the one who has waited longest, or free it."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


class Child:
    """One child from spawn to exit. Everything happens on the event loop."""

    def __init__(
        self,
        zygote: ZygoteProcess,
        limits: Limits,
        *,
        handler: CallHandler | None = None,
        slots: Slots | None = None,
        on_peer: Callable[[Child, bytes], None] | None = None,
        layers: tuple[str, ...] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            zygote: forks the child.
            limits: of this run.
            handler: answers calls; without one, a call ends the run.
            slots: one that the caller took for this run; it is free while the child waits for the host.
            on_peer: takes messages for the other child of a test run.
            layers: kernel filters to apply; default: all that the machine has.
        """
        self._zygote = zygote
        self._limits = limits
        self._handler = handler
        self._slots = slots
        self._on_peer = on_peer
        self._layers = zygote.layers if layers is None else layers
        self._loop = asyncio.get_running_loop()
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_slot = slots is not None
        self._ending: Ending | None = None
        self._result: dict[str, Any] | None = None
        self._exited: asyncio.Future[Exit | None] = self._loop.create_future()
        self._pending_bytes = 0
        self._reading = False
        self._writing = False
        self._ended = False
        self._id = -1
        self._deadline = 0.0
        self._wall_left = limits.wall_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._absolute: asyncio.TimerHandle | None = None
        self._extensions = 0
        self._cpu_seen = 0.0
        self._caught: dict[int, Status] = {}
        self._seen: set[int] = set()
        self.made_calls = False

    async def run(self, job: dict[str, Any]) -> Ending:
        """Run one job to its end and leave nothing behind."""
        self.start(job)
        try:
            return await self.finish()
        except asyncio.CancelledError:
            self.end("error", "cancelled")
            await self.finish()
            raise

    def start(self, job: dict[str, Any]) -> None:
        """Fork the child and send it its job."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._sock = ours
        request = {
            "layers": list(self._layers),
            "limits": {"cpu_seconds": self._limits.cpu_seconds, "memory_mb": self._limits.memory_mb},
        }
        self._id = self._zygote.spawn(request, theirs, self._on_exit)
        body = {**job, "result_bytes": self._limits.result_bytes, "output_bytes": self._limits.output_bytes}
        self._read(True)
        self._write(frames.pack(frames.JOB, body))
        self._absolute = self._loop.call_later(self._limits.absolute_seconds, self._out_of_time, "absolute")
        self._resume_clock()

    async def finish(self) -> Ending:
        """Wait for the end; then stop calls in flight and free everything."""
        exit_ = await asyncio.shield(self._exited)
        for timer in (self._timer, self._absolute):
            if timer is not None:
                timer.cancel()
        self._read(False)
        self._want_to_write(False)
        self._sock.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._give_slot()
        return self._judge(exit_)

    def end(self, status: Status, detail: str, error: BaseException | None = None) -> None:
        """End the run from outside with this status."""
        if self._ending is None and self._result is None:
            self._ending = Ending(status, detail=detail, error=error)
        self._read(False)
        self._kill()

    def send_peer(self, data: bytes) -> None:
        """Pass on a message of the child's peer."""
        self._write(frames.HEADER.pack(frames.PEER, len(data)) + data)

    def pause_clock(self) -> None:
        """Stop the wall clock: the child waits for the host."""
        self._wall_left = max(0.0, self._deadline - self._loop.time())
        self._deadline = float("inf")

    def resume_clock(self) -> None:
        """Let the wall clock run on."""
        self._resume_clock()

    # -- slots and clock

    async def _take_slot(self, slots: Slots) -> None:
        if not slots.try_take():
            await slots.take()
        if self._has_slot:  # another reply of the same child took one meanwhile
            slots.give()
        self._has_slot = True

    def _give_slot(self) -> None:
        if self._slots is not None and self._has_slot:
            self._has_slot = False
            self._slots.give()

    def _resume_clock(self) -> None:
        self._deadline = self._loop.time() + self._wall_left
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._tick)

    def _tick(self) -> None:
        """Look at the clock; timers are not moved on every call, they look again instead."""
        self._timer = None
        if self._deadline == float("inf"):
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._tick)
        else:
            self._zygote.cpu(self._id, self._extend_or_end)

    def _extend_or_end(self, used: float) -> None:
        """Give a child that computes more time: on a busy machine CPU time is the rule, and its limit comes first."""
        if self._deadline == float("inf") or self._loop.time() < self._deadline or self._ended:
            return
        limit = self._limits.wall_seconds
        if used - self._cpu_seen > BUSY_SHARE * limit and self._extensions < MAX_EXTENSIONS:
            self._cpu_seen = used
            self._extensions += 1
            self._deadline = self._loop.time() + limit
            self._timer = self._loop.call_at(self._deadline, self._tick)
        else:
            self._out_of_time("wall")

    def _out_of_time(self, which: str) -> None:
        limit = self._limits.wall_seconds if which == "wall" else self._limits.absolute_seconds
        if self._ending is None and self._result is None:
            self._ending = Ending("timeout_wall", detail=f"ran longer than {limit:g} s ({which} clock)")
        self._zygote.signal(self._id, signal.SIGUSR1)
        self._timer = self._loop.call_later(GRACE_SECONDS, self._kill)

    def _kill(self) -> None:
        self._zygote.signal(self._id, signal.SIGKILL)

    # -- channel

    def _read(self, on: bool) -> None:
        if on == self._reading:
            return
        self._reading = on
        if on:
            self._loop.add_reader(self._sock.fileno(), self._readable)
        else:
            self._loop.remove_reader(self._sock.fileno())

    def _readable(self) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = self._sock.recv(262_144)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._read(False)
            return False
        self._inbox += data
        self._take_frames()
        return True

    def _take_frames(self) -> None:
        while self._result is None and len(self._inbox) >= frames.HEADER.size:
            kind, size = frames.HEADER.unpack_from(self._inbox)
            if size > (self._limits.result_bytes + 10_000 if kind == frames.RESULT else frames.MAX_CALL_BYTES):
                return self.end("protocol", f"sent a frame of {size} bytes")
            full = len(self._tasks) >= MAX_PENDING_CALLS or self._pending_bytes + size > MAX_PENDING_BYTES
            if kind == frames.CALL and self._tasks and full and not self._ended:
                return self._read(False)
            end = frames.HEADER.size + size
            if len(self._inbox) < end:
                return
            body = bytes(self._inbox[frames.HEADER.size : end])
            del self._inbox[:end]
            self._on_frame(kind, body)

    def _on_frame(self, kind: int, body: bytes) -> None:
        if self._ending is not None and kind != frames.RESULT:
            return
        if kind == frames.PEER and self._on_peer is not None:
            if not self._ended:
                self._on_peer(self, body)
            return
        try:
            data = frames.unpack(body)
            if type(data) is not dict:
                raise frames.FrameError("a frame is not a dict")
            if kind == frames.RESULT:
                self._result = data
                self._read(False)
                self._kill()
            elif kind == frames.CALL and self._handler is not None:
                self._on_call(data, len(body), self._handler)
            else:
                raise frames.FrameError(f"unexpected frame of kind {kind}")
        except frames.FrameError as error:
            self.end("protocol", str(error))

    def _on_call(self, data: dict[str, Any], size: int, handler: CallHandler) -> None:
        call_id, method, args = data.get("id"), data.get("method"), data.get("args")
        if type(call_id) is not int or type(method) is not str or type(args) is not dict or len(data) != 3:
            raise frames.FrameError("a call needs exactly an id, a method and arguments")
        if method not in schema.METHODS:
            raise frames.FrameError(f"unknown method {method[:80]!r}")
        wrong = schema.problem(method, args)
        if wrong:
            raise frames.FrameError(wrong)
        if call_id in self._seen:
            raise frames.FrameError("an id was used twice")
        self._seen.add(call_id)
        if self._ended:  # nobody waits for the answer
            return
        self.made_calls = True
        if not self._tasks:
            self.pause_clock()
            self._give_slot()
        self._pending_bytes += size
        task = self._loop.create_task(self._answer(call_id, method, args, size, handler))
        self._tasks.add(task)

    async def _answer(self, call_id: int, method: str, args: dict[str, Any], size: int, handler: CallHandler) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            reply = {"id": call_id, "value": await handler(method, args)}
        except WorkflowCallError as error:
            self._caught[call_id] = error.status
            reply = {"id": call_id, "error": {"kind": error.kind, "message": str(error)}}
        except Exception as error:
            self.end("infrastructure", f"{method} failed: {type(error).__name__}: {error}", error)
            self._tasks.discard(task)
            return
        if self._slots is not None and not self._has_slot:
            await self._take_slot(self._slots)
        self._tasks.discard(task)
        self._pending_bytes -= size
        if self._ending is None and not self._exited.done():
            self._write(frames.pack(frames.REPLY, reply))
            if not self._tasks:
                self._resume_clock()
            if self._result is None and not self._reading:
                self._read(True)
                self._take_frames()

    def _write(self, data: bytes) -> None:
        waiting = bool(self._outbox)
        self._outbox += data
        if not waiting:
            self._writable()

    def _writable(self) -> None:
        try:
            sent = self._sock.send(self._outbox)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._outbox.clear()
            sent = 0
        del self._outbox[:sent]
        self._want_to_write(bool(self._outbox))

    def _want_to_write(self, on: bool) -> None:
        if on == self._writing:
            return
        self._writing = on
        if on:
            self._loop.add_writer(self._sock.fileno(), self._writable)
        else:
            self._loop.remove_writer(self._sock.fileno())

    # -- the end

    def _on_exit(self, exit_: Exit | None) -> None:
        if self._exited.done():
            return
        self._ended = True
        if exit_ is not None and self._ending is None and self._result is None:
            self._take_frames()
            while self._result is None and self._readable():  # what it sent before it ended is still in the channel
                pass
        self._exited.set_result(exit_)

    def _judge(self, exit_: Exit | None) -> Ending:
        ending = self._ending
        if ending is None and self._result is not None:
            ending = Ending("ok" if "value" in self._result else self._reported(self._result))
        if ending is None and exit_ is None:
            ending = Ending("infrastructure", detail="the sandbox process was lost")
        if ending is None:
            assert exit_ is not None
            ending = _by_exit(exit_, self._limits)
        ending.result = self._result
        ending.cpu_seconds = exit_.cpu_seconds if exit_ is not None else 0.0
        return ending

    def _reported(self, result: dict[str, Any]) -> Status:
        """Return the status of a failed run: what the child says, or what the host told it when a call failed."""
        call = result.get("call")
        if type(call) is int and call in self._caught:
            return self._caught[call]
        status = result.get("status")
        if status in ("error", "memory", "timeout_cpu", "timeout_wall", "no_result"):
            return status
        return "protocol"


def _by_exit(exit_: Exit, limits: Limits) -> Ending:
    """Say why a child that sent no result ended."""
    if exit_.code >= 0:
        return Ending("no_result", detail=f"the process ended without a result (exit code {exit_.code})")
    number = -exit_.code
    if number in (signal.SIGXCPU, signal.SIGPROF) or (
        number == signal.SIGKILL and exit_.cpu_seconds > limits.cpu_seconds
    ):
        return Ending("timeout_cpu", detail=f"used more than {limits.cpu_seconds:g} s of CPU time")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return Ending("crashed", detail=f"the process was ended by {name}")
