"""Confinement of a process: its user, its resource limits, and the kernel filters of a child."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import sys
from typing import Any

from . import landlock, seccomp

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS = 1, 4, 8
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_CAP_KILL, _CAP_SETGID, _CAP_SETUID = 1 << 5, 1 << 6, 1 << 7
_MOST_THREADS = 512
"""A second wall behind the limit of `threads.ThreadGate`."""

_libc: Any = ctypes.CDLL(None, use_errno=True)


def drop_user(uid: int) -> tuple[bool, str]:
    """Become the unprivileged user `uid` if this is root.

    On Linux the right to give each child a user of its own, and to end it, is kept; `become_user` gives it up.

    Returns:
        Whether children can get users of their own, and what was done or why it was not.
    """
    if os.geteuid() != 0:
        return False, f"runs as the ordinary user {os.geteuid()}"
    try:
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)  # for root this sets the real, the effective and the saved id
    except OSError as error:
        return False, f"stays root, could not become another user: {error.strerror}"
    if sys.platform != "linux":
        return False, f"root became the unused user {uid}"
    _set_capabilities(_CAP_KILL | _CAP_SETGID | _CAP_SETUID)
    return True, f"root became the unused user {uid}; each process gets another one"


def become_user(uid: int) -> None:
    """Become the user `uid` in a child, for good.

    Raises:
        OSError: the kernel refused.
    """
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _set_capabilities(0)
    resource.setrlimit(resource.RLIMIT_NPROC, (_MOST_THREADS, _MOST_THREADS))  # counts per user: this child alone


def _set_capabilities(wanted: int) -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    data = (ctypes.c_uint32 * 6)(wanted, wanted, 0, 0, 0, 0)  # effective, permitted, inheritable; twice 32 bits
    if _libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")


def harden() -> None:
    """Forbid this process and all that it forks new privileges, core dumps and inspection by others (Linux)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent() -> None:
    """End this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of what children leave behind, to be able to kill it (Linux)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def memory_of(pid: int) -> tuple[int, int]:
    """Return the bytes of address space and of resident memory of a process (zeros where that cannot be told)."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            size, resident = file.read().split()[:2]
    except OSError:
        return 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return int(size) * page, int(resident) * page


def limit_resources(limits: dict[str, Any], base_memory: int) -> None:
    """Set the resource limits of a child; `memory_mb` comes on top of the interpreter's own `base_memory` bytes."""
    cpu = math.ceil(limits["cpu_seconds"]) + 1
    wanted = {
        resource.RLIMIT_CPU: (cpu, cpu + 1),
        resource.RLIMIT_FSIZE: (0, 0),
        resource.RLIMIT_NOFILE: (64, 64),
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_MEMLOCK: (0, 0),
    }
    if sys.platform == "linux":  # macOS refuses or ignores it
        memory = (base_memory or 2**30) + limits["memory_mb"] * 1024 * 1024
        wanted[resource.RLIMIT_AS] = (memory, memory)
    for which, (soft, hard) in wanted.items():
        ceiling = resource.getrlimit(which)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(which, (soft, hard))


class KernelFilters:
    """Landlock and seccomp, prepared once in the zygote and applied in each child."""

    def __init__(self) -> None:
        """Prepare what the kernel offers; `missing` says what it does not, and why."""
        self.missing: dict[str, str] = {}
        self._ruleset = -1
        self._filter: seccomp.Filter | None = None
        self.landlock_abi = 0
        if sys.platform != "linux":
            self.missing = {"landlock": "Landlock is a Linux feature", "seccomp": "seccomp is a Linux feature"}
            return
        try:
            self.landlock_abi = landlock.abi()
            self._ruleset = landlock.deny_all()
        except OSError as error:
            self.missing["landlock"] = landlock.explain(error)
        try:
            self._filter = seccomp.Filter()
        except OSError as error:
            self.missing["seccomp"] = str(error.strerror)

    def forbid_threads(self) -> None:
        """Let no child start threads."""
        if self._filter is not None:
            self._filter = seccomp.Filter(threads=False)

    def enter_landlock(self, layers: list[str]) -> None:
        """Apply Landlock in a child if it is among the layers, and drop the ruleset's descriptor.

        Raises:
            OSError: the kernel refused.
        """
        if "landlock" in layers and self._ruleset >= 0:
            landlock.restrict(self._ruleset)
        if self._ruleset >= 0:
            os.close(self._ruleset)

    def enter_seccomp(self, layers: list[str]) -> None:
        """Apply the system call filter in a child if it is among the layers; nothing can be set up after it.

        Raises:
            OSError: the kernel refused.
        """
        if "seccomp" in layers and self._filter is not None:
            self._filter.install(os.getpid())
