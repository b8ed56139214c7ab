"""Running tests as an ordinary user where the rest runs as root."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[2]
UID = 61200
NOT_TWICE = "not ordinary_user and not page_about_threats and not enough_attacks and not L1-resources"
"""Selects what such a run is for."""


def pytest_as_user(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as user `UID`, in a mount namespace where the interpreter and the project are readable for all."""
    missing = [tool for tool in ("unshare", "setpriv", "mount") if shutil.which(tool) is None]
    assert not missing, f"install util-linux: {missing}"
    hidden = {parent for path in (sys.base_prefix, sys.prefix, sysconfig.get_path("purelib"), str(PROJECT))
              for parent in Path(path).resolve().parents if not parent.stat().st_mode & 0o001}  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="w4s-user-") as base:
        below, work = Path(base, "below"), Path(base, "work")
        below.mkdir()
        work.mkdir()
        Path(base).chmod(0o755)
        script = ["set -e", "mount --make-rprivate /"]
        for directory in hidden:  # searchable in this namespace only: an empty directory with the same entries on top
            script += [
                f"mount --rbind '{directory}' '{below}'",
                f"mount -t tmpfs -o mode=755 none '{directory}'",
                f"for e in $(ls -A '{below}'); do [ ! -d '{below}/'$e ] || "
                f"{{ mkdir '{directory}/'$e; mount --rbind '{below}/'$e '{directory}/'$e; }}; done",
            ]
        script += [
            f"mount -t tmpfs -o mode=755,uid={UID},gid={UID} none '{work}'",
            f"cd '{PROJECT}'",
            f"exec setpriv --reuid {UID} --regid {UID} --clear-groups env HOME={work} {sys.executable} -B -m pytest "
            f'-p no:cacheprovider --basetemp {work}/t "$@"',
        ]
        command = ["unshare", "-m", "sh", "-c", "\n".join(script), "sh", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=1200)
