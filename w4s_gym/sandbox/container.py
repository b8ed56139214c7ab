"""Level LX: the operator runs everything inside a container or virtual machine. Looks for signs that this is so."""

from __future__ import annotations

import os
from pathlib import Path

_MARKS = {"/.dockerenv": "Docker", "/run/.containerenv": "Podman", "/run/systemd/container": "a systemd container"}
_ENVIRONMENT = {"KUBERNETES_SERVICE_HOST": "Kubernetes", "container": "a container"}


def find() -> str | None:
    """Return what this process seems to run in, or None."""
    for path, name in _MARKS.items():
        if os.path.exists(path):
            return name
    for variable, name in _ENVIRONMENT.items():
        if os.environ.get(variable):
            return name
    version = _read("/proc/version")
    if "gVisor" in version or version.startswith("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"):
        return "gVisor"
    if "hypervisor" in _read("/proc/cpuinfo"):
        return "a virtual machine"
    return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
