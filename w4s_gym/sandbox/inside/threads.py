"""A limit on the threads of each child, whatever its user: the kernel asks the zygote before each new one.

A limit of the operating system would count all processes of a user together, and root not at all. So a filter that the
zygote installs, and that its children inherit, turns every attempt to make a thread into a question to the zygote.
"""

from __future__ import annotations

import errno
import fcntl
import resource
import struct
from collections import Counter

from . import seccomp

MAX_STARTS = 10_000
"""Threads that one child may start in its life: each costs the zygote some time."""

MOST_TOGETHER = 8_192
"""Threads that all children of a zygote may have together (or half of what the user may have, if that is less)."""

ALWAYS = 16
"""Threads that a child may have whatever the others do."""

_QUESTION, _ANSWER = struct.Struct("=QI68x"), struct.Struct("=QqiI")  # struct seccomp_notif, struct seccomp_notif_resp
_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND
_CONTINUE = 1


class ThreadGate:
    """Answers the kernel's questions. Threads that are refused fail with EAGAIN, as at a limit of the system."""

    def __init__(self) -> None:
        """Install the filter in this process, for itself and all that it forks.

        Raises:
            OSError: the kernel does not offer it, or another supervisor is in place.
        """
        self.descriptor = seccomp.install_listener(seccomp.thread_gate())
        self._started: Counter[int] = Counter()
        self._seen: dict[int, int] = {}
        most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
        self._together = MOST_TOGETHER if most == resource.RLIM_INFINITY else min(MOST_TOGETHER, most // 2)

    def answer(self, limits: dict[int, int]) -> None:
        """Answer one question.

        Args:
            limits: process id of a child -> most threads it may have. Several threads that ask at the same instant may
                each be let through, so at most twice as many can come to be.
        """
        data = bytearray(_QUESTION.size)
        try:
            fcntl.ioctl(self.descriptor, _RECEIVE, data, True)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # the asking thread was killed meanwhile
                return
            raise
        question, thread = _QUESTION.unpack(data)
        process, threads = _threads_of(thread)
        self._seen[process] = threads + 1
        room = threads < ALWAYS or sum(self._seen.values()) <= self._together
        allowed = room and threads < limits.get(process, 0) and self._started[process] < MAX_STARTS
        self._started[process] += allowed
        answer = _ANSWER.pack(question, 0, 0 if allowed else -errno.EAGAIN, _CONTINUE if allowed else 0)
        try:
            fcntl.ioctl(self.descriptor, _SEND, bytearray(answer), True)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def forget(self, process: int) -> None:
        """Forget a child that has ended."""
        del self._started[process]
        self._seen.pop(process, None)


def _threads_of(thread: int) -> tuple[int, int]:
    """Return the process that a thread belongs to and its number of threads; (0, 0) if that cannot be told."""
    try:
        with open(f"/proc/{thread}/status", "rb") as file:
            lines = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        return int(lines[b"Tgid"]), int(lines[b"Threads"])
    except (OSError, KeyError, ValueError):
        return 0, 0
