"""Host side of the zygote process: start it, ask it for children, hear of their end, be rid of it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from w4s_gym.errors import ConfigError, SandboxUnavailable
from w4s_gym.sandbox import bubblewrap
from w4s_gym.sandbox.config import SandboxConfig
from w4s_gym.sandbox.inside import frames

INSIDE = Path(__file__).parent / "inside"

UNUSED_UIDS = range(60706, 61184)
"""User ids that neither distributions nor systemd hand out."""

_free_users = deque(UNUSED_UIDS)


def _start_elsewhere() -> None:
    _free_users.rotate(-(os.getpid() * 61) % len(UNUSED_UIDS))  # than other processes


_start_elsewhere()
os.register_at_fork(after_in_child=_start_elsewhere)

START_TIMEOUT = 60.0
"""Seconds for the start, which loads a few hundred modules from disk."""

# The zygote has one thread, so modules have nothing to repair after a fork: the handlers that they register for it
# would cost every child time.
_BOOTSTRAP = """
import importlib.util, os, sys
os.register_at_fork = lambda **handlers: None
def load(directory):
    spec = importlib.util.spec_from_file_location("w4s_inside", directory + "/__init__.py",
                                                  submodule_search_locations=[directory])
    package = importlib.util.module_from_spec(spec)
    sys.modules["w4s_inside"] = package
    spec.loader.exec_module(package)
load(sys.argv[1])
from w4s_inside import zygote
zygote.main()
"""


@dataclass(frozen=True)
class Exit:
    """How a child ended."""

    code: int
    """Exit code, or minus the number of the signal that killed it."""
    cpu_seconds: float
    too_much_memory: int = 0
    """Megabytes it held when it was ended because all children together passed their bound; else 0."""


class ZygoteProcess:
    """A running zygote. After `start`, use it from one event loop, or blocking (`call_blocking`) before that."""

    def __init__(self, config: SandboxConfig, box: str | None, all_modules: bool) -> None:
        """Start nothing yet.

        Args:
            config: packages to load, layers to use, and when it counts as hung.
            box: path of bubblewrap, to run inside of it.
            all_modules: whether children can import everything that the config allows, or only what `preload.PRELOAD`
                names, which makes forks cheaper.
        """
        self._config = config
        self._box = box
        self.all_modules = all_modules
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer = bytearray()
        self._outbox: list[tuple[bytes, socket.socket | None]] = []
        self._on_exit: dict[int, Callable[[Exit | None], None]] = {}
        self._on_cpu: dict[int, Callable[[float], None]] = {}
        self._on_seen: dict[int, Callable[[bool, bool], None]] = {}
        self._users: dict[int, int] = {}
        self._heard = 0.0
        self._pinged = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self._next_id = 0
        self.lost = False
        self.hello: dict[str, Any] = {}

    @cached_property
    def missing(self) -> dict[str, str]:
        """Kernel filters that the machine does not offer, and why; known once it has started."""
        off = "switched off by SandboxConfig(layers=...)"
        chosen = {name: off for name in ("seccomp", "landlock") if name not in self._config.layers}
        return {**self.hello.get("missing", {}), **chosen}

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Kernel filters that children get."""
        return tuple(name for name in ("landlock", "seccomp") if name not in self.missing)

    @property
    def spawned(self) -> int:
        """Number of children forked so far."""
        return self._next_id

    @property
    def active(self) -> int:
        """Number of children that have not ended."""
        return len(self._on_exit)

    def start(self) -> None:
        """Start the process and wait until it is ready (blocking, about 0.2 s).

        Raises:
            SandboxUnavailable: it did not start.
        """
        ours, theirs = socket.socketpair()
        environment = {
            "PYTHONHASHSEED": "0",
            "MALLOC_ARENA_MAX": "2",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }
        command = [interpreter(), "-S", "-s", "-P", "-B", "-c", _BOOTSTRAP, str(INSIDE)]
        packages = self._config.packages if self.all_modules else ()
        locations = _locations(packages)
        if self._box is not None:
            command = bubblewrap.wrap(self._box, command, INSIDE, _package_paths(locations))
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        self._control = ours
        ours.settimeout(START_TIMEOUT)
        self._users[-1] = _free_users.popleft() if _free_users else UNUSED_UIDS[-1]  # -1: the zygote itself
        options = {
            "packages": list(packages),
            "locations": locations,
            "all_modules": self.all_modules,
            "uid": self._users[-1],
            "memory_mb": self._config.memory_bound // 2,  # there is a second zygote
            "gate": "seccomp" in self._config.layers,
        }
        try:
            ours.sendall(frames.pack(frames.CONTROL, options))
            header = _recv_exactly(ours, frames.HEADER.size)
            self.hello = frames.unpack(_recv_exactly(ours, frames.HEADER.unpack(header)[1]))
        except (OSError, EOFError) as error:
            self.hello = {"failed": f"{type(error).__name__}: {error}"}
        if "failed" in self.hello:
            self.close()
            raise SandboxUnavailable(f"the sandbox process did not start: {self.hello['failed']}{self._stderr()}")

    def _stderr(self) -> str:
        assert self._process is not None and self._process.stderr is not None
        with self._process.stderr as pipe:
            text = pipe.read()[-1000:].decode("utf-8", "replace").strip()
        return f"\n{text}" if text else ""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve this event loop from now on."""
        if self._loop is loop:
            return
        assert self._control is not None
        self.detach()
        self._control.setblocking(False)
        self._loop = loop
        loop.add_reader(self._control.fileno(), self._readable)

    def detach(self) -> None:
        """Leave the event loop (which may be closed already)."""
        if self._loop is not None and not self._loop.is_closed() and self._control is not None:
            self._loop.remove_reader(self._control.fileno())
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = None
        self._loop = None

    def spawn(
        self,
        request: dict[str, Any],
        channel: socket.socket,
        on_exit: Callable[[Exit | None], None],
        on_seen: Callable[[bool, bool], None],
    ) -> int:
        """Fork a child with `channel`, which is closed here.

        Args:
            request: its limits and kernel filters.
            channel: its end of the channel.
            on_exit: called at its end; with None if the zygote was lost.
            on_seen: called at each look with whether it computed since the last one, and whether it does now.
        """
        child = self._next_id
        self._next_id += 1
        if self.lost:
            channel.close()
            on_exit(None)
            return child
        self._on_exit[child] = on_exit
        self._on_seen[child] = on_seen
        if self._watchdog is None:
            self._watch()
        self._send({"op": "spawn", "id": child, "uid": self._user_for(child), **request}, channel)
        return child

    def _user_for(self, child: int) -> int | None:
        """Choose a user id that no other child has; None where the zygote may not change it."""
        if not self.hello["changes_user"]:
            return None
        if not _free_users:  # more children than ids: the oldest is shared
            return next(iter(self._users.values()), None)
        self._users[child] = _free_users.popleft()
        return self._users[child]

    def _free_user(self, child: int) -> None:
        uid = self._users.pop(child, None)
        if uid is not None:
            _free_users.append(uid)

    def signal(self, child: int, number: int) -> None:
        """Send a signal to a child unless it has ended."""
        if child in self._on_exit and not self.lost:
            self._send({"op": "signal", "id": child, "signal": number}, None)

    def cpu(self, child: int, on_cpu: Callable[[float], None]) -> None:
        """Ask how many seconds of CPU time a child has used."""
        if child in self._on_exit and not self.lost:
            self._on_cpu[child] = on_cpu
            self._send({"op": "cpu", "id": child}, None)

    def _watch(self) -> None:
        """While there are children, ask for a sign of life now and then."""
        assert self._loop is not None
        self._watchdog = None
        if self.lost or not self._on_exit:
            return
        now = self._loop.time()
        if self._pinged > self._heard and now - self._pinged > self._config.zygote_timeout:
            self._fail(hung=True)
            return
        if self._heard >= self._pinged:
            self._pinged = now
            self._send({"op": "ping"}, None)
        self._watchdog = self._loop.call_later(self._config.zygote_timeout / 4, self._watch)

    def _send(self, body: dict[str, Any], channel: socket.socket | None) -> None:
        self._outbox.append((frames.pack(frames.CONTROL, body), channel))
        if len(self._outbox) == 1:
            self._flush()

    def _flush(self) -> None:
        assert self._loop is not None and self._control is not None
        while self._outbox and not self.lost:
            data, channel = self._outbox[0]
            try:
                if channel is None:
                    sent = self._control.send(data)
                else:
                    sent = socket.send_fds(self._control, [data], [channel.fileno()])
            except BlockingIOError:
                self._loop.add_writer(self._control.fileno(), self._flush)
                return
            except OSError:
                self._fail()
                return
            if channel is not None:
                channel.close()
            if sent < len(data):
                self._outbox[0] = (data[sent:], None)
            else:
                self._outbox.pop(0)
        if not self.lost:
            self._loop.remove_writer(self._control.fileno())

    def _readable(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._fail()
            return
        assert self._loop is not None
        self._heard = self._loop.time()
        self._buffer += data
        while len(self._buffer) >= frames.HEADER.size:
            _, size = frames.HEADER.unpack_from(self._buffer)
            end = frames.HEADER.size + size
            if len(self._buffer) < end:
                return
            body = frames.unpack(bytes(self._buffer[frames.HEADER.size : end]))
            del self._buffer[:end]
            if "exited" in body:
                on_exit = self._on_exit.pop(body["exited"], None)
                self._on_cpu.pop(body["exited"], None)
                self._on_seen.pop(body["exited"], None)
                if on_exit is not None:
                    on_exit(Exit(body["code"], body["cpu"], body["too_much_memory"]))
                self._free_user(body["exited"])
            elif "seen" in body:
                for child, busy, runnable in body["seen"]:
                    on_seen = self._on_seen.get(child)
                    if on_seen is not None:
                        on_seen(busy, runnable)
            elif "used" in body:
                on_cpu = self._on_cpu.pop(body["used"], None)
                if on_cpu is not None:
                    on_cpu(body["cpu"])

    def _fail(self, hung: bool = False) -> None:
        """Give up on this process: kill it and tell everyone who waits for a child."""
        if not self.lost:
            self._end(patience=0.0 if hung else 0.5)
            self._release()

    def close(self) -> None:
        """End the zygote and all its children; idempotent, from any thread."""
        if self.lost:
            return
        self._end(patience=0.5)
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._release)
        else:
            self._release()

    def abandon(self) -> None:
        """Leave the zygote to the process that this one is a fork of, which goes on using it."""
        self.lost = True
        if self._control is not None:
            self._control.close()  # only this process's copy: neither shut down nor taken out of the shared epoll

    def _end(self, patience: float) -> None:
        """End all processes. A zygote whose connection is shut kills its children and leaves, if it can."""
        self.lost = True
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
        if self._process is not None and self._process.returncode is None:
            _kill_group(self._process, patience)

    def _release(self) -> None:
        """Leave the event loop, close what is open, and tell those who wait; in the loop's thread, if it runs."""
        control, self._control = self._control, None
        if control is not None:
            if self._loop is not None and not self._loop.is_closed():
                self._loop.remove_reader(control.fileno())
                self._loop.remove_writer(control.fileno())
            control.close()
        if self._watchdog is not None:
            self._watchdog.cancel()
        for _, channel in self._outbox:
            if channel is not None:
                channel.close()
        self._outbox.clear()
        if self._process is not None and self._process.stderr is not None and "failed" not in self.hello:
            self._process.stderr.close()
        for child in list(self._users):
            self._free_user(child)
        waiting, self._on_exit = self._on_exit, {}
        for callback in waiting.values():
            callback(None)


def _kill_group(process: subprocess.Popen[bytes], patience: float) -> None:
    """End the whole process group: first by the closed control socket, which lets the zygote reap its children."""
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def interpreter() -> str:
    """Return the real Python executable, outside of any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _locations(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the directory that each top-level package lies in, without importing it."""
    found = {}
    for name in {p.partition(".")[0] for p in packages}:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ConfigError(f"packages: {name!r} is not installed as a regular package; install it or leave it out")
        path = Path(spec.origin)
        found[name] = str(path.parent.parent if path.name == "__init__.py" else path.parent)
    return found


def _package_paths(locations: dict[str, str]) -> list[Path]:
    """Return the directories (or files) of the packages, with the folder of libraries that wheels put beside them."""
    paths = []
    for name, directory in locations.items():
        candidates = (Path(directory, name), Path(directory, f"{name}.py"), Path(directory, f"{name}.libs"))
        paths += [path for path in candidates if path.exists()]
    return paths


def _recv_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError("it ended at once")
        data += part
    return data
