"""Host side of one confined child: its job, its calls, how it ended."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Any

from w4s_gym.sandbox.channel import Channel
from w4s_gym.sandbox.clock import WallClock
from w4s_gym.sandbox.ending import Ending, by_exit
from w4s_gym.sandbox.inside import frames, schema
from w4s_gym.sandbox.slot import Slot
from w4s_gym.sandbox.types import CallHandler, Charged, Limits, RunEnded, Status, WorkflowCallError
from w4s_gym.sandbox.zygote_process import Exit, ZygoteProcess

MAX_PENDING_CALLS = 64
"""Calls of one workflow that may be pending; more wait in its channel."""

MAX_PENDING_BYTES = 8_000_000
"""Size of the calls of one workflow that may be pending; more wait in its channel."""

GRACE_SECONDS = 0.25
"""Time between asking a child to say where it hangs and killing it."""


class Child:
    """One child from spawn to exit. Everything happens on the event loop."""

    def __init__(
        self,
        zygote: ZygoteProcess,
        limits: Limits,
        *,
        slot: Slot,
        handler: CallHandler | None = None,
        on_peer: Callable[[Child, bytes], None] | None = None,
        layers: tuple[str, ...] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            zygote: forks the child.
            limits: of this run.
            slot: right to compute; a child that computes without one is stopped until there is one.
            handler: answers calls; without one, a call ends the run.
            on_peer: takes messages for the other child of a test run.
            layers: kernel filters to apply; default: all that the machine has.
        """
        self._zygote = zygote
        self._limits = limits
        self._handler = handler
        self._slot = slot
        self._waiting = False
        self._on_peer = on_peer
        self._layers = zygote.layers if layers is None else layers
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(on_data=self._take_frames, on_written=self._read_on)
        self._clock = WallClock(limits.wall_seconds, on_due=self._on_due)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped: asyncio.Task[None] | None = None
        self._ending: Ending | None = None
        self._result: dict[str, Any] | None = None
        self._exited: asyncio.Future[Exit | None] = self._loop.create_future()
        self._pending_bytes = 0
        self._ended = False
        self._id = -1
        self._absolute: asyncio.TimerHandle | None = None
        self._caught: dict[int, Status] = {}
        self._seen: set[int] = set()
        self._gave = False
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
        self._channel.open(ours)
        request = {
            "layers": list(self._layers),
            "limits": {
                "cpu_seconds": self._limits.cpu_seconds,
                "memory_mb": self._limits.memory_mb,
                "threads": self._limits.threads,
            },
        }
        self._id = self._zygote.spawn(request, theirs, self._on_exit, self._on_seen)
        body = {**job, "result_bytes": self._limits.result_bytes, "output_bytes": self._limits.output_bytes}
        self._channel.read(True)
        self._channel.write(frames.pack(frames.JOB, body))
        self._absolute = self._loop.call_later(self._limits.absolute_seconds, self._out_of_time, "absolute")
        self._start_clock()

    async def finish(self) -> Ending:
        """Wait for the end; then stop calls in flight and free everything."""
        exit_ = await asyncio.shield(self._exited)
        self._clock.close()
        if self._absolute is not None:
            self._absolute.cancel()
        self._channel.close()
        tasks = {*self._tasks, *([self._stopped] if self._stopped else ())}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        self._slot.close()
        self.pause_clock()
        return self._judge(exit_)

    def end(self, status: Status, detail: str, error: BaseException | None = None) -> None:
        """End the run from outside with this status."""
        if self._ending is None and self._result is None:
            self._ending = Ending(status, detail=detail, error=error)
        self._channel.read(False)
        self._kill()

    def send_peer(self, data: bytes) -> None:
        """Pass on a message of the child's peer."""
        self._channel.write(frames.HEADER.pack(frames.PEER, len(data)) + data)

    def pause_clock(self) -> None:
        """Stop the wall clock: the child waits for its peer."""
        self._waiting = True
        self._clock.stop()

    def resume_clock(self) -> None:
        """Let the wall clock run on: it is the child's turn."""
        self._waiting = False
        self._start_clock()

    # -- slots and clock

    def _start_clock(self) -> None:
        """Let the wall clock run unless the child waits for the host, its peer or a slot."""
        if not (self._tasks or self._waiting or self._stopped is not None or self._ended):
            self._clock.start()

    def _on_seen(self, busy: bool, runnable: bool) -> None:
        """Act on a look at the child: sleeping holds no slot, and computing without one is stopped.

        Args:
            busy: it used the processor since the last look.
            runnable: it does now.
        """
        gave, self._gave = self._gave, False
        if self._ending is not None or self._result is not None or self._stopped is not None:
            return
        if not busy or (gave and not runnable):  # what it used, it used while it held the slot that it gave back
            self._slot.give()
        elif self._slot.is_due():
            self._slot.give()
            self._stop()
        elif not self._slot.try_take():
            self._stop()

    def _stop(self) -> None:
        """Stop the child until it gets a slot."""
        self._clock.stop()
        self._zygote.signal(self._id, signal.SIGSTOP)
        self._stopped = self._loop.create_task(self._continue())

    async def _continue(self) -> None:
        await self._slot.take()
        self._stopped = None
        self._zygote.signal(self._id, signal.SIGCONT)
        self._start_clock()

    def _charge(self, seconds: float) -> None:
        """Count what the host computed for the workflow against its wall limit; here nothing is extended."""
        if self._clock.charge(seconds):
            limit = self._limits.wall_seconds
            self.end("timeout_wall", f"the programs it ran took longer than {limit:g} s together")

    def _on_due(self) -> None:
        self._zygote.cpu(self._id, self._extend_or_end)

    def _extend_or_end(self, used: float) -> None:
        if self._clock.is_due() and not self._ended and not self._clock.extend(used):
            self._out_of_time("wall")

    def _out_of_time(self, which: str) -> None:
        limit = self._limits.wall_seconds if which == "wall" else self._limits.absolute_seconds
        if self._ending is None and self._result is None:
            self._ending = Ending("timeout_wall", detail=f"ran longer than {limit:g} s ({which} clock)")
        self._zygote.signal(self._id, signal.SIGUSR1)
        self._clock.end_in(GRACE_SECONDS, self._kill)

    def _kill(self) -> None:
        self._zygote.signal(self._id, signal.SIGKILL)

    # -- frames and calls

    def _take_frames(self) -> None:
        while self._result is None and len(self._channel.inbox) >= frames.HEADER.size:
            kind, size = frames.HEADER.unpack_from(self._channel.inbox)
            if size > (self._limits.result_bytes + 10_000 if kind == frames.RESULT else frames.MAX_CALL_BYTES):
                return self.end("protocol", f"sent a frame of {size} bytes")
            if kind == frames.CALL and not self._ended and self._is_full(size):
                return self._channel.read(False)
            end = frames.HEADER.size + size
            if len(self._channel.inbox) < end:
                return
            body = bytes(self._channel.inbox[frames.HEADER.size : end])
            del self._channel.inbox[:end]
            self._on_frame(kind, body)

    def _is_full(self, size: int) -> bool:
        """Tell whether a call of this size must wait: for others to be answered, or for replies to be read."""
        if self._channel.blocked:
            return True
        many = len(self._tasks) >= MAX_PENDING_CALLS or self._pending_bytes + size > MAX_PENDING_BYTES
        return bool(self._tasks) and many

    def _on_frame(self, kind: int, body: bytes) -> None:
        if self._ending is not None and kind != frames.RESULT:
            return
        if kind == frames.PEER and self._on_peer is not None:
            if not self._ended:
                self._on_peer(self, body)
            return
        try:
            data = frames.unpack(frames.hide_addresses(body))
            if type(data) is not dict:
                raise frames.FrameError("a frame is not a dict")
            if kind == frames.RESULT:
                self._result = data
                self._channel.read(False)
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
        if len(self._seen) > self._limits.calls:
            return self.end("budget", f"made more than {self._limits.calls} calls, refused ones included")
        self.made_calls = True
        if not self._tasks:
            self._clock.stop()
            self._gave = self._gave or self._slot.held
            self._slot.give()
        self._pending_bytes += size
        task = self._loop.create_task(self._answer(call_id, method, args, size, handler))
        self._tasks.add(task)

    async def _answer(self, call_id: int, method: str, args: dict[str, Any], size: int, handler: CallHandler) -> None:
        task = asyncio.current_task()
        assert task is not None
        seconds = 0.0
        try:
            value = await handler(method, args)
            if isinstance(value, Charged):
                value, seconds = value.value, value.seconds
            frame = frames.pack_reply(call_id, value)
        except WorkflowCallError as error:
            self._caught[call_id] = error.status
            seconds = error.seconds
            frame = frames.pack(frames.REPLY, {"id": call_id, "error": {"kind": error.kind, "message": str(error)}})
        except RunEnded as error:
            self.end(error.status, str(error))
            self._tasks.discard(task)
            return
        except Exception as error:
            self.end("infrastructure", f"{method} failed: {type(error).__name__}: {error}", error)
            self._tasks.discard(task)
            return
        if seconds:
            self._charge(seconds)
        if not self._slot.try_take():
            await self._slot.take()
        self._tasks.discard(task)
        self._pending_bytes -= size
        if self._ending is None and not self._exited.done():
            self._channel.write(frame)
            self._start_clock()
            self._read_on()

    def _read_on(self) -> None:
        """Take calls that waited in the channel, if any did."""
        if self._ending is None and self._result is None and not self._channel.reading and not self._exited.done():
            self._channel.read(True)
            self._take_frames()

    # -- the end

    def _on_exit(self, exit_: Exit | None) -> None:
        if self._exited.done():
            return
        self._ended = True
        if exit_ is not None and self._ending is None and self._result is None:
            self._take_frames()
            # What it sent before it ended is still in the channel.
            while self._result is None and self._channel.read_once():
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
            ending = by_exit(exit_, self._limits)
        ending.result = self._result
        ending.cpu_seconds = exit_.cpu_seconds if exit_ is not None else 0.0
        ending.wall_seconds = self._clock.used
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
