"""Landlock: the kernel denies this process all files, TCP and signals outside of it. Through ctypes."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every architecture
_VERSION_FLAG = 1

_libc: Any = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Attributes(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


def _call(number: int, *arguments: Any) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def abi() -> int:
    """Return the version of Landlock that the kernel offers.

    Raises:
        OSError: the kernel has none, or it is switched off.
    """
    return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG))


def deny_all() -> int:
    """Return a descriptor of a ruleset that handles every right the kernel knows and grants none.

    Raises:
        OSError: Landlock is not available.
    """
    version = abi()
    rights = 13 + (version >= 2) + (version >= 3) + (version >= 5)  # refer, truncate, device ioctl came later
    attributes = _Attributes(fs=(1 << rights) - 1, net=3 if version >= 4 else 0, scoped=3 if version >= 6 else 0)
    size = 8 * (1 + (version >= 4) + (version >= 6))
    return _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0))


def restrict(ruleset: int) -> None:
    """Apply a ruleset to the calling process for good; needs no_new_privs.

    Raises:
        OSError: the kernel refused.
    """
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))


def explain(error: OSError) -> str:
    """Say why Landlock is missing and what to do."""
    if error.errno == errno.ENOSYS:
        return "the kernel has no Landlock: use Linux 5.13 or newer, built with CONFIG_SECURITY_LANDLOCK"
    if error.errno == errno.EOPNOTSUPP:
        return "Landlock is switched off: add `landlock` to the kernel's `lsm=` boot option"
    if error.errno == errno.EPERM:
        return "Landlock is blocked by the container's seccomp profile: use a profile that allows landlock_* calls"
    return f"Landlock refused: {error.strerror}"
