"""Finding out the isolation level: a child attacks each layer on its own, then all of them together."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from w4s_gym.errors import SandboxUnavailable
from w4s_gym.sandbox import container
from w4s_gym.sandbox.child import Child
from w4s_gym.sandbox.config import LEVELS, IsolationReport, LayerResult, Level, SandboxConfig
from w4s_gym.sandbox.slot import Slot
from w4s_gym.sandbox.types import Limits
from w4s_gym.sandbox.zygote_process import ZygoteProcess
from w4s_gym.shares import Shares

PROBE_LIMITS = Limits(cpu_seconds=5.0, wall_seconds=15.0, absolute_seconds=20.0, memory_mb=256, threads=8)

_PROCESS = (
    "exceed the memory limit",
    "find the host's environment",
    "find a descriptor",
    "run without a CPU limit",
)
_OUTSIDE = (
    *_PROCESS,
    "read a file",
    "read a file of the system",
    "look at a file",
    "write a file",
    "start a process",
    "execute a program",
    "connect over TCP",
    "make a socket",
    "signal the host",
    "signal the zygote",
    "read the host's memory",
    "become root",
    "raise a limit",
    "stop the CPU clock",
    "read the clock of another process",
    "have any number of threads",
)
_LANDLOCK = ("read a file", "read a file of the system", "write a file", "read the host's memory")
_NAMESPACES = ("read a file", "look at a file", "write a file", "connect over TCP", "signal the host")


def probe(zygote: ZygoteProcess, no_box: str) -> IsolationReport:
    """Attack the confinement that this zygote's children get.

    Args:
        zygote: freshly started; no event loop uses it.
        no_box: why the zygote does not run in namespaces; empty if it does.
    """
    with ExitStack() as stack:
        targets = _put_up_targets(stack)
        results: dict[str, dict[str, str]] = {}

        async def attack_all() -> None:
            zygote.attach(asyncio.get_running_loop())
            for name, layers in (
                ("process", ()),
                ("seccomp", ("seccomp",)),
                ("landlock", ("landlock",)),
                ("all", None),
            ):
                if name not in zygote.missing:
                    results[name] = await _attack(zygote, targets, layers)

        run_in_thread(lambda: asyncio.run(attack_all()))
        zygote.detach()
    return _conclude(zygote, results, no_box)


def _put_up_targets(stack: ExitStack) -> dict[str, Any]:
    """Make a file that anyone may read, a directory that anyone may write, a listening port and a secret in memory."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="w4s-probe-")))
    directory.chmod(0o777)
    secret = directory / "secret"
    secret.write_text("secret")
    secret.chmod(0o644)
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    canary = secrets.token_hex(8)
    memory = ctypes.create_string_buffer(canary.encode())
    os.environ["W4S_PROBE"] = canary
    stack.callback(os.environ.pop, "W4S_PROBE", None)
    stack.callback(memory.__class__.__len__, memory)  # keeps the buffer alive while it is a target
    return {
        "secret_file": str(secret),
        "writable_directory": str(directory),
        "port": listener.getsockname()[1],
        "pid": os.getpid(),
        "address": ctypes.addressof(memory),
        "memory_mb": PROBE_LIMITS.memory_mb,
        "threads": PROBE_LIMITS.threads,
        "canary": canary,
    }


async def _attack(zygote: ZygoteProcess, targets: dict[str, Any], layers: tuple[str, ...] | None) -> dict[str, str]:
    """Return attack -> how it was stopped; a child that died counts as broken, with everything got through."""
    slot = Slot(Shares(1), None, held=False)
    ending = await Child(zygote, PROBE_LIMITS, slot=slot, layers=layers).run(
        {"mode": "probe", "source": "", "targets": targets, "seed": 0}
    )
    if ending.status == "infrastructure":
        raise SandboxUnavailable("the sandbox process died while its isolation was probed; try again")
    if ending.status != "ok" or ending.result is None:
        return {name: "" for name in _OUTSIDE}
    return ending.result["value"]


def _holds(results: dict[str, str] | None, attacks: tuple[str, ...]) -> list[str]:
    """Return the attacks that were not stopped."""
    return [name for name in attacks if not (results or {}).get(name)]


def _layer(name: str, results: dict[str, str] | None, attacks: tuple[str, ...], missing: str) -> LayerResult:
    if missing:
        return LayerResult(name, False, missing)
    through = _holds(results, attacks)
    if through:
        return LayerResult(name, False, f"these attacks got through: {', '.join(through)}")
    return LayerResult(name, True, f"{len(attacks)} attacks stopped: {', '.join(attacks)}")


def _conclude(zygote: ZygoteProcess, results: dict[str, dict[str, str]], no_box: str) -> IsolationReport:
    alone = results["process"]
    no_threads = zygote.hello["no_threads"]
    user_holds = zygote.hello["uid"] != 0 and bool(alone.get("become root"))
    layers = (
        _layer("process", alone, _PROCESS, ""),
        LayerResult("user", user_holds, zygote.hello["user"]),
        _layer("seccomp", results.get("seccomp"), _OUTSIDE, zygote.missing.get("seccomp", "")),
        LayerResult("threads", not no_threads, no_threads or "the kernel asks before each new thread"),
        _layer("landlock", results.get("landlock"), _LANDLOCK, zygote.missing.get("landlock", "")),
        _layer("namespaces", alone, _NAMESPACES, no_box),
    )
    held = {layer.name: layer.holds for layer in layers}
    level: Level = "L0"
    lacking = ""
    for candidate, name in (("L1", "seccomp"), ("L2", "landlock"), ("L3", "namespaces")):
        if not held[name] or (candidate == "L1" and _holds(results["all"], _OUTSIDE)):
            detail = next(layer.detail for layer in layers if layer.name == name)
            lacking = f"{candidate} needs {name}: {detail}"
            break
        level = candidate  # type: ignore[assignment]
    return IsolationReport(level, lacking, layers)


def accept(report: IsolationReport, config: SandboxConfig) -> IsolationReport:
    """Return the report of a level that may be used; with `allow_unsafe`, warn about one that is too low.

    Raises:
        SandboxUnavailable: the level is below the required one.
    """
    if config.external:
        report = declare_external(report)
    if satisfies(report.level, config.require):
        return report
    message = (
        f"the sandbox must hold at least level {config.require}, this machine gives {report.level}. "
        f"{report.why_not_higher}. `w4s-gym doctor` shows all layers"
    )
    if not config.allow_unsafe:
        raise SandboxUnavailable(f"{message}; SandboxConfig(allow_unsafe=True) runs model-written code all the same.")
    warnings.warn(f"{message}; going on because of allow_unsafe=True.", UserWarning, stacklevel=2)
    return replace(report, unsafe=True)


def declare_external(report: IsolationReport) -> IsolationReport:
    """Raise the level to LX where the operator's word is backed by signs of a container or virtual machine."""
    found = container.find()
    holds = found is not None and report.level != "L0"
    if found is None:
        detail = "declared by the operator, but there is no sign of a container or virtual machine"
    else:
        detail = f"declared by the operator, and this looks like {found}; its own strength cannot be probed"
    layers = (*report.layers, LayerResult("external", holds, detail))
    if not holds:
        return replace(report, layers=layers)
    return replace(report, level="LX", layers=layers)


def satisfies(level: Level, required: Level) -> bool:
    """Return whether a level is at least the required one."""
    return LEVELS.index(level) >= LEVELS.index(required)


def run_in_thread(function: Callable[[], None]) -> None:
    """Run a function in a thread of its own (this one may be running an event loop) and raise what it raises."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="w4s-sandbox-probe")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
