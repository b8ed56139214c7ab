"""The zygote: a small process without secrets that forks one confined child per job.

It is started by exec with an empty environment and gets only what it needs: limits and one end of a channel. Source,
task and results travel between the host and the child; the zygote never sees them.
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import select
import signal
import socket
import time
from typing import Any

from . import confine, frames, imports, runner, threads
from .load import Watch, cpu_seconds
from .preload import PRELOAD

CHANNEL_FD = 3
"""Descriptor of the channel in every child."""


class Zygote:
    """Serves spawn and kill requests on its control socket."""

    def __init__(self, control: socket.socket, options: dict[str, Any]) -> None:
        """Talk to the host over `control`."""
        self._control = control
        self._options = options
        self._children: dict[int, int] = {}
        self._ids: dict[int, int] = {}
        self._threads: dict[int, int] = {}
        self._gate: threads.ThreadGate | None = None
        self._base_memory = 0
        self._null = os.open(os.devnull, os.O_RDWR)
        self._pid = os.getpid()
        self._no_forks = True

    def run(self) -> None:
        """Load what children may need, then serve until the host goes away."""
        if self._options["all_modules"]:
            imports.load_extensions()
        imports.prepare(self._options["locations"], [*PRELOAD, *self._options["packages"]])
        changes_user, user = confine.drop_user(self._options["uid"])
        confine.harden()
        confine.adopt_orphans()
        self._filters = confine.KernelFilters()
        no_threads = self._open_gate()
        wake, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._base_memory, resident = confine.memory_of(os.getpid())
        self._watch = Watch(resident, self._options["memory_mb"] * 1024 * 1024)
        gc.collect()
        gc.freeze()
        self._send(
            {
                "ready": True,
                "user": user,
                "uid": os.geteuid(),
                "changes_user": changes_user,
                "pid": os.getpid(),
                "missing": self._filters.missing,
                "no_threads": no_threads,
                "landlock_abi": self._filters.landlock_abi,
            }
        )
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(wake, select.POLLIN)
        if self._gate is not None:
            poll.register(self._gate.descriptor, select.POLLIN)
        while True:
            for fd, _ in poll.poll(self._watch.wait()):
                if fd == wake:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake, 4096)
                elif fd != self._control.fileno() and self._gate is not None:
                    self._gate.answer(self._threads)
                elif not self._serve_request():
                    return self.end()
            self._reap()
            if self._watch.is_due():
                self._look()

    def _open_gate(self) -> str:
        """Limit the threads of all children to come; return why that is impossible, if it is."""
        if "seccomp" in self._filters.missing or not self._options["gate"]:
            return self._filters.missing.get("seccomp", "seccomp is switched off")
        try:
            self._gate = threads.ThreadGate()
        except OSError as error:
            self._filters.forbid_threads()
            return f"{error.strerror}: no process may start threads (a limit per process needs Linux 5.5)"
        return ""

    def _look(self) -> None:
        """See what the children do with processor and memory; end the largest while they pass the bound together."""
        for pid in self._watch.look():
            os.kill(pid, signal.SIGKILL)
        seen = [[self._children[pid], busy, runnable] for pid, busy, runnable in self._watch.seen()]
        if seen:
            self._send({"seen": seen})

    def _send(self, body: dict[str, Any]) -> None:
        try:
            self._control.sendall(frames.pack(frames.CONTROL, body))
        except OSError:
            self.end()

    def _serve_request(self) -> bool:
        """Handle one request; False when the host closed the connection."""
        header, ancillary, _, _ = self._control.recvmsg(frames.HEADER.size, socket.CMSG_SPACE(4))
        if len(header) < frames.HEADER.size:
            return False
        _, size = frames.HEADER.unpack(header)
        request = frames.unpack(frames.read_exactly(self._control.fileno(), size))
        if request["op"] == "spawn":
            fds = array.array("i")
            fds.frombytes(ancillary[0][2][:4])
            self._spawn(request, fds[0])
        elif request["op"] == "signal":
            pid = self._ids.get(request["id"])
            if pid is not None:
                os.kill(pid, request["signal"])
        elif request["op"] == "cpu":
            pid = self._ids.get(request["id"])
            self._send({"used": request["id"], "cpu": 0.0 if pid is None else cpu_seconds(pid)})
        elif request["op"] == "ping":
            self._send({"pong": True})
        return True

    def _spawn(self, request: dict[str, Any], channel: int) -> None:
        self._no_forks = self._no_forks and "seccomp" in request["layers"]
        pid = os.fork()
        if pid == 0:
            try:
                self._become_child(request, channel)
            finally:
                os._exit(71)
        os.close(channel)
        self._children[pid] = request["id"]
        self._ids[request["id"]] = pid
        self._threads[pid] = request["limits"]["threads"]
        self._watch.add(pid)

    def _become_child(self, request: dict[str, Any], channel: int) -> None:
        confine.die_with_parent()  # at once: the host may stop this process at any time from here
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (0, 1, 2):
            os.dup2(self._null, fd)
        if request["uid"] is not None:
            confine.become_user(request["uid"])
        confine.die_with_parent()  # again: the change of the user undid it
        if os.getppid() != self._pid:
            os._exit(71)
        self._filters.enter_landlock(request["layers"])
        os.dup2(channel, CHANNEL_FD)
        os.closerange(CHANNEL_FD + 1, 256)
        confine.limit_resources(request["limits"], self._base_memory)
        runner.prepare(request["limits"]["cpu_seconds"])
        self._filters.enter_seccomp(request["layers"])
        runner.serve(CHANNEL_FD)

    def _reap(self) -> None:
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is None:
                continue
            del self._ids[child], self._threads[pid]
            if self._gate is not None:
                self._gate.forget(pid)
            too_much = self._watch.remove(pid)
            if not self._no_forks:
                self._kill_strays()
            code = os.waitstatus_to_exitcode(status)
            cpu = usage.ru_utime + usage.ru_stime
            self._send({"exited": child, "code": code, "cpu": cpu, "too_much_memory": too_much})

    def _kill_strays(self) -> None:
        """Kill processes that a child started and left behind (possible only where seccomp is missing)."""
        for pid in _own_children() - set(self._children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def end(self, code: int = 0) -> None:
        """Leave, and leave nothing behind: not even a child that is stopped and has not asked yet to die with this."""
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        os._exit(code)


def _own_children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return {int(pid) for pid in file.read().split()}
    except OSError:
        return set()


def main() -> None:
    """Entry point; the control socket is standard input and the first frame on it holds the options."""
    os.chdir("/")
    os.umask(0o077)
    control = socket.socket(fileno=os.dup(0))
    _, options = frames.read_frame(control.fileno())
    zygote = Zygote(control, options)
    try:
        zygote.run()
    except BaseException as error:
        with contextlib.suppress(OSError):  # the host is gone
            control.sendall(frames.pack(frames.CONTROL, {"failed": f"{type(error).__name__}: {error}"}))
        zygote.end(1)
