"""Room for open files: sockets to processes and endpoints count as such."""

from __future__ import annotations

import os
import sys

_WANTED = 65_536
_KEPT_FREE = 48
"""For files that are opened and closed, and for what else the program does."""


def room_for_files() -> int:
    """Raise the process's limit of open files as far as it may go; return how many more files may be opened.

    The soft limit is a default of shells (1,024 or 256), which every process may raise up to the hard one.
    """
    if sys.platform == "win32":
        return _WANTED
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _WANTED if hard == resource.RLIM_INFINITY else min(hard, _WANTED)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
        except (ValueError, OSError):
            pass  # some systems have a lower limit of their own: the soft one holds
    if soft == resource.RLIM_INFINITY:
        return _WANTED
    try:
        used = len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))
    except OSError:
        used = 0
    return max(0, soft - used - _KEPT_FREE)
