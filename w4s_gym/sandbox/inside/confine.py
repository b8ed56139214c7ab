"""Confinement of the calling process: user, resource limits, parent-death signal."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

UNUSED_UIDS = range(60706, 61184)
"""User ids that neither distributions nor systemd hand out."""

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0


def drop_user() -> str:
    """Become an unprivileged user if this is root; return what was done."""
    if os.geteuid() != 0:
        return f"already the ordinary user {os.geteuid()}"
    uid = UNUSED_UIDS[os.getpid() % len(UNUSED_UIDS)]
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        return f"could not leave root: {error.strerror}"
    return f"root became user {uid}"


def harden(die_with_parent: bool) -> None:
    """Forbid gaining privileges and core dumps of this process and its children (Linux)."""
    if sys.platform != "linux":
        return
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_DUMPABLE, 0)
    if die_with_parent:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def address_space() -> int:
    """Return the bytes of address space this process uses now (0 where that cannot be told)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def limit_resources(limits: dict[str, Any], base_memory: int) -> None:
    """Set the resource limits of a child; `memory_mb` comes on top of the interpreter's own `base_memory` bytes."""
    cpu = math.ceil(limits["cpu_seconds"]) + 1
    memory = base_memory + limits["memory_mb"] * 1024 * 1024
    wanted = {
        resource.RLIMIT_CPU: (cpu, cpu + 1),
        resource.RLIMIT_AS: (memory, memory),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_NOFILE: (64, 64),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_MEMLOCK: (0, 0),
    }
    for which, (soft, hard) in wanted.items():
        try:
            ceiling = resource.getrlimit(which)[1]
            if ceiling != resource.RLIM_INFINITY:
                soft, hard = min(soft, ceiling), min(hard, ceiling)
            resource.setrlimit(which, (soft, hard))
        except (ValueError, OSError):
            if which != resource.RLIMIT_AS:  # macOS refuses this one: memory is watched from outside there
                raise
