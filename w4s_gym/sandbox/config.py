"""Options of the sandbox."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from w4s_gym.errors import ConfigError

Level = Literal["L0", "L1", "L2", "L3", "LX"]
"""Isolation: L0 a process with resource limits and a clean environment; L1 adds a seccomp allowlist without any file
access; L2 adds Landlock; L3 adds namespaces (bubblewrap); LX: all of it runs inside a container or virtual machine that
the operator set up for it and declares."""

LEVELS: tuple[Level, ...] = ("L0", "L1", "L2", "L3", "LX")
"""From weakest to strongest."""


@dataclass(frozen=True)
class SandboxConfig:
    """How workflows are confined."""

    require: Level = "L1"
    """Lowest level that is accepted; below it nothing runs."""
    allow_unsafe: bool = False
    """Run below `require` anyway, with a warning. The choice is visible in `IsolationReport.unsafe`."""
    external: bool = False
    """The operator declares that all of this runs inside a container or virtual machine set up for it, without keys
    or data worth protecting. Believed only where there are signs of one and L1 holds; the level is then LX."""
    max_running: int = 0
    """Children that may compute at the same time; those that wait for a reply do not count. 0: twice the cores."""
    max_workflows: int = 256
    """Workflow processes that may exist at the same time, waiting ones included; and a quarter as many programs and
    tests. A candidate gets at most twice what is left for others."""
    memory_mb: int = 0
    """Resident memory that all processes of the sandbox may have together, waiting ones included; when they pass it,
    the largest end as `memory`. A process with less than its share (`memory_mb / max_workflows / 4`) is never ended for
    the sake of others. 0: half of what the machine, or the control group of this process, has."""
    packages: tuple[str, ...] = ("numpy",)
    """Modules outside the standard library that workflows may import, in the order they are loaded before confinement.
    Name what they depend on first (`"mpmath", "sympy"`). A package (`"numpy"`) is loaded with all its compiled modules,
    a dotted name (`"scipy.stats"`) with what it imports itself.
    Each megabyte loaded makes every item a little slower."""
    layers: tuple[str, ...] = ("seccomp", "landlock", "namespaces")
    """Layers to use where the machine has them. Fewer serve tests and diagnosis."""
    recycle_after: int = 5_000
    """Children forked by one zygote process before a fresh one takes over."""
    zygote_timeout: float = 20.0
    """Seconds without a sign of life after which the zygote counts as hung and is replaced."""

    def __post_init__(self) -> None:
        if self.require not in ("L0", "L1", "L2", "L3", "LX"):
            raise ConfigError(f"require must be 'L0', 'L1', 'L2', 'L3' or 'LX', got {self.require!r}")
        unknown = set(self.layers) - {"seccomp", "landlock", "namespaces"}
        if unknown:
            raise ConfigError(f"layers may be 'seccomp', 'landlock' and 'namespaces', got {sorted(unknown)}")
        for name in ("max_running", "max_workflows", "memory_mb", "recycle_after"):
            if getattr(self, name) < (0 if name in ("max_running", "memory_mb") else 1):
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")

    @property
    def running_slots(self) -> int:
        """Return `max_running`, resolved for this machine."""
        return self.max_running or 2 * (os.cpu_count() or 1)

    @property
    def memory_bound(self) -> int:
        """Return `memory_mb`, resolved for this machine."""
        return self.memory_mb or _memory_of_machine() // 2


def _memory_of_machine() -> int:
    """Return the megabytes of memory of the machine, or of this process's control group if that has less."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            found.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # no control group, or "max"
            continue
    return min(found) >> 20


@dataclass(frozen=True)
class LayerResult:
    """One layer of the isolation."""

    name: str
    """`process`, `user`, `seccomp`, `landlock` or `namespaces`."""
    holds: bool
    """Whether every attack tried against it failed."""
    detail: str
    """What was tried, or why the layer is missing and how to get it."""


@dataclass(frozen=True)
class IsolationReport:
    """What isolation this machine gives, found out by trying to break it."""

    level: Level
    """The level that holds."""
    why_not_higher: str
    """What the next level lacks and what to do; empty at the top."""
    layers: tuple[LayerResult, ...]
    """Results layer by layer."""
    unsafe: bool = False
    """True when `allow_unsafe` lets workflows run below the required level."""
