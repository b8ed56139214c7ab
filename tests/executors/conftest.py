from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from w4s_gym.executors import ChatRequest

T = TypeVar("T")


class ServerHandle:
    """A fault server in a process of its own."""

    def __init__(self, *options: str) -> None:
        program = Path(__file__).with_name("fault_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.base_url: str = json.loads(self.process.stdout.readline())["base_url"]

    def report(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/report", timeout=10) as response:
            return json.load(response)

    def reset(self) -> None:
        url = self.base_url.removesuffix("/v1") + "/reset"
        urllib.request.urlopen(urllib.request.Request(url, data=b"", method="POST"), timeout=10).read()

    def obey(self, *rules: dict[str, Any]) -> None:
        """Set the rules of `scripted_faults.py`, with fresh books."""
        url, data = self.base_url.removesuffix("/v1") + "/rules", json.dumps(rules).encode()
        urllib.request.urlopen(urllib.request.Request(url, data=data, method="POST"), timeout=10).read()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def serve() -> Iterator[Callable[..., ServerHandle]]:
    """Start fault servers: `serve("--faults", "0.3")`."""
    handles: list[ServerHandle] = []

    def start(*options: str) -> ServerHandle:
        handles.append(ServerHandle(*options))
        return handles[-1]

    yield start
    for handle in handles:
        handle.close()


@pytest.fixture
def question() -> Callable[..., ChatRequest]:
    """Make the request for a sum, as JSON with the key `answer` unless told otherwise."""

    def make(a: int, b: int = 1, **fields: Any) -> ChatRequest:
        fields.setdefault("json_keys", ("answer",))
        return ChatRequest(messages=({"role": "user", "content": f"{a} + {b} ="},), **fields)

    return make


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    return asyncio.run


@pytest.fixture(autouse=True)
def no_key_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the developer's own endpoint and keys out of the tests."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("W4S_ENV_FILE", str(tmp_path / "no.env"))
