"""Fixtures of the sandbox tests: sandboxes by level, and things on the host that attacks aim at."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

import w4s_gym
from w4s_gym.sandbox import Sandbox, SandboxConfig, WorkflowCallError, bubblewrap

LAYERS = {
    "L1": ("seccomp",),
    "L2": ("seccomp", "landlock"),
    "L3": ("seccomp", "landlock", "namespaces"),
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="module", params=list(LAYERS))
def levelled(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox at each level that the machine offers. L1 and L2 must be there; only namespaces may be barred."""
    with Sandbox(SandboxConfig(require="L0", layers=LAYERS[request.param])) as sandbox:
        report = sandbox.report()
        if request.param == "L3" and report.level == "L2":
            assert bubblewrap.find() is not None, "the development extra brings bubblewrap"
            pytest.skip(report.why_not_higher)  # a container that bars namespaces
        assert report.level == request.param, report
        asyncio.run(sandbox.run_program("import csv"))  # starts the second zygote, the one that offers all modules
        yield sandbox


@dataclass
class Host:
    """What attacks aim at, and what must still be so afterwards."""

    directory: Path
    writable: Path
    file: Path
    listener: socket.socket
    datagrams: socket.socket
    environment_secret: str
    file_secret: str
    gold: str
    calls: list[str] = field(default_factory=list)

    @property
    def targets(self) -> dict[str, Any]:
        return {
            "file": str(self.file),
            "writable": str(self.writable),
            "port": self.listener.getsockname()[1],
            "unix": str(self.directory / "socket"),
            "pid": os.getpid(),
            "project": str(Path(w4s_gym.__file__).parents[1]),
        }

    async def handler(self, method: str, args: Any) -> Any:
        self.calls.append(str(args))
        if args.get("code") == "refuse":
            raise WorkflowCallError("BudgetExceeded", "no more", status="budget")
        return {"call_llm": ["reply"], "execute_code": 1}.get(method, [{}])

    def harm(self) -> list[str]:
        """Return what is not as it should be."""
        found = []
        if self.file.read_text() != self.file_secret or self.file.stat().st_mode & 0o777 != 0o644:
            found.append("the file was changed")
        if list(self.writable.iterdir()):
            found.append(f"the directory holds {[p.name for p in self.writable.iterdir()]}")
        if any(p.name not in ("file", "socket", "writable") for p in self.directory.iterdir()):
            found.append("the outer directory was changed")
        for sock in (self.listener, self.datagrams):
            try:
                sock.accept() if sock is self.listener else sock.recv(1)
                found.append(f"{sock} was reached")
            except BlockingIOError:
                pass
        return found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Targets that any user of the machine could reach if nothing stopped him."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    writable = tmp_path / "writable"
    writable.mkdir()
    writable.chmod(0o777)
    file = tmp_path / "file"
    listener = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    previous = os.getcwd()
    os.chdir(tmp_path)  # the path of a Unix socket is short
    datagrams.bind("socket")
    os.chdir(previous)
    (tmp_path / "socket").chmod(0o777)
    listener.setblocking(False)
    datagrams.setblocking(False)
    host = Host(tmp_path, writable, file, listener, datagrams, *(f"secret-{secrets.token_hex(8)}" for _ in range(3)))
    file.write_text(host.file_secret)
    file.chmod(0o644)
    monkeypatch.setenv("OPENAI_API_KEY", host.environment_secret)
    yield host
    listener.close()
    datagrams.close()


def descendants(sandbox: Sandbox) -> set[int]:
    """Return the process ids of a sandbox's processes."""
    found = set()
    for zygote in sandbox._zygotes:
        assert zygote._process is not None
        root = psutil.Process(zygote._process.pid)
        found |= {root.pid, *(p.pid for p in root.children(recursive=True))}
    return found


@pytest.fixture
def processes() -> Any:
    return descendants


def zygote_process(sandbox: Sandbox) -> psutil.Process:
    """Return the zygote itself (bubblewrap may stand in front of it)."""
    found = [psutil.Process(pid) for pid in descendants(sandbox)]
    return min((p for p in found if "python" in p.name()), key=lambda p: p.create_time())


@pytest.fixture
def zygote_of() -> Any:
    return zygote_process
