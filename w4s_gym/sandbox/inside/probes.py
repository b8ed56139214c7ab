"""Attacks that a child runs against its own confinement, so that a level is found out and not assumed."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

_LINUX_SOCKET_TIMEOUT = 1.0


def attack(targets: dict[str, Any]) -> dict[str, str]:
    """Try to break out; return attack -> "" when it succeeded, else how it was stopped.

    Args:
        targets: what the host put up to be attacked: `secret_file`, `writable_directory`, `port` (TCP on loopback),
            `pid` (of the host), `memory_mb` and `threads` (limits of this child).
    """
    results = {}
    for name, run in _ATTACKS.items():
        try:
            run(targets)
            results[name] = ""
        except Exception as error:
            number = f"{error.errno} " if isinstance(error, OSError) and error.errno else ""
            results[name] = f"{number}{type(error).__name__}: {error}"[:200]
    return results


def _read_file(targets: dict[str, Any]) -> None:
    with open(targets["secret_file"], "rb") as file:
        file.read()


def _read_system_file(targets: dict[str, Any]) -> None:
    """No file permission stops this one, wherever temporary files lie."""
    with open("/proc/self/status", "rb") as file:
        file.read()


def _stat_file(targets: dict[str, Any]) -> None:
    os.stat(targets["secret_file"])


def _write_file(targets: dict[str, Any]) -> None:
    """A file of no bytes is allowed by the file size limit, so only a real barrier stops this."""
    with open(os.path.join(targets["writable_directory"], f"mark-{os.getpid()}"), "wb"):
        pass


def _fork(targets: dict[str, Any]) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _execute(targets: dict[str, Any]) -> None:
    try:
        os.execv("/nonexistent/program", ["program"])
    except (FileNotFoundError, NotADirectoryError):  # the call itself went through
        return


def _connect(targets: dict[str, Any]) -> None:
    with socket.create_connection(("127.0.0.1", targets["port"]), timeout=_LINUX_SOCKET_TIMEOUT):
        pass


def _make_socket(targets: dict[str, Any]) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def _signal_host(targets: dict[str, Any]) -> None:
    os.kill(targets["pid"], 0)


def _signal_zygote(targets: dict[str, Any]) -> None:
    os.kill(os.getppid(), 0)


def _read_host_memory(targets: dict[str, Any]) -> None:
    """Read nothing from the host's memory: the permission check comes first."""
    buffer = ctypes.create_string_buffer(8)

    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    local = Vector(ctypes.addressof(buffer), 8)
    remote = Vector(targets["address"], 8)
    libc: Any = ctypes.CDLL(None, use_errno=True)
    if libc.process_vm_readv(targets["pid"], ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _become_root(targets: dict[str, Any]) -> None:
    os.setresuid(0, 0, 0)
    if os.geteuid() != 0:
        raise PermissionError("still not root")


def _memory(targets: dict[str, Any]) -> None:
    bytearray(2 * targets["memory_mb"] * 1024 * 1024)


def _raise_limit(targets: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _environment(targets: dict[str, Any]) -> None:
    if targets["canary"] not in os.environ.values():
        raise LookupError("the host's environment is not here")


def _descriptors(targets: dict[str, Any]) -> None:
    """Look for an inherited descriptor; 0 to 2 are /dev/null and 3 is the channel."""
    for fd in range(4, 64):
        try:
            os.close(fd)
        except OSError:
            continue
        return
    raise LookupError("no descriptor was inherited")


def _cpu_limit(targets: dict[str, Any]) -> None:
    if resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY:
        raise PermissionError("CPU time is limited")


def _hide_from_limits(targets: dict[str, Any]) -> None:
    """Stop the clock that names the failing line (the hard limit stays)."""
    signal.setitimer(signal.ITIMER_PROF, 0)


def _foreign_clock(targets: dict[str, Any]) -> None:
    """Read the CPU clock of the zygote."""
    time.clock_gettime((~os.getppid() << 3) | 2)


def _many_threads(targets: dict[str, Any]) -> None:
    """Have three times as many threads as allowed."""
    leave = threading.Event()
    started = []
    try:
        for _ in range(3 * targets["threads"]):
            started.append(threading.Thread(target=leave.wait))
            started[-1].start()
    finally:
        leave.set()
        for thread in started[:-1]:
            thread.join()


_ATTACKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "read a file": _read_file,
    "read a file of the system": _read_system_file,
    "look at a file": _stat_file,
    "write a file": _write_file,
    "start a process": _fork,
    "execute a program": _execute,
    "connect over TCP": _connect,
    "make a socket": _make_socket,
    "signal the host": _signal_host,
    "signal the zygote": _signal_zygote,
    "read the host's memory": _read_host_memory,
    "become root": _become_root,
    "exceed the memory limit": _memory,
    "raise a limit": _raise_limit,
    "find the host's environment": _environment,
    "find a descriptor": _descriptors,
    "run without a CPU limit": _cpu_limit,
    "stop the CPU clock": _hide_from_limits,
    "read the clock of another process": _foreign_clock,
    "have any number of threads": _many_threads,
}
