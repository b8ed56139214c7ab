"""A trained policy that a vLLM server samples from; it takes new adapters while it runs."""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from w4s_gym.algos.policies.hf import HFConfig
from w4s_gym.algos.policies.served import Order, ServedPolicy
from w4s_gym.errors import ExecutorUnavailable
from w4s_gym.executors.base import Completion
from w4s_gym.executors.config import EndpointConfig, is_loopback
from w4s_gym.executors.exchange import Exchange, Refused
from w4s_gym.executors.keys import find_key

_SECONDS = 120.0
_MOST = 64


class VLLMPolicy(ServedPolicy):
    """The server must accept adapters at run time and see the same file system.

    `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve <model> --enable-lora`
    """

    def __init__(self, source: str | Path, name: str, config: HFConfig, server: str) -> None:
        """Load the trained side.

        Args:
            source: as for `HFPolicy`; the server serves the same model.
            name: name in tables.
            config: options; `lora_rank` must be above 0.
            server: base URL, for instance `http://localhost:8000/v1`.

        Raises:
            ConfigError: the options do not train adapters.
        """
        super().__init__(source, name, config)
        self._server = server.rstrip("/")
        self._folder = tempfile.TemporaryDirectory(prefix="w4s-adapters-")
        self._run = secrets.token_hex(4)  # several processes may use one server, and unload their own adapters only
        self._loaded = ""
        endpoint = EndpointConfig(base_url=self._server, attempt_seconds=900.0, call_seconds=3600.0)
        self._exchange = Exchange(endpoint, find_key(endpoint))

    @property
    def _most(self) -> int:
        return _MOST

    def _send_adapters(self, version: str) -> None:
        name = f"w4s-{version[:12]}-{self._run}"
        target = Path(self._folder.name) / name
        self.model.save_pretrained(target)
        self._post("load_lora_adapter", {"lora_name": name, "lora_path": str(target)})
        if self._loaded:
            self._post("unload_lora_adapter", {"lora_name": self._loaded})
        self._loaded = name

    async def _ask_all(self, orders: Sequence[Order]) -> list[Sequence[Completion]]:
        return list(await asyncio.gather(*(self._ask(order) for order in orders)))

    async def _ask(self, order: Order) -> Sequence[Completion]:
        try:
            answer = await self._exchange.post(self._loaded, self._body(order), path="/completions")
        except Refused as error:
            raise ExecutorUnavailable(f"{self._server} refuses to sample: {error}") from error
        return answer.completions

    def _post(self, method: str, body: dict[str, str]) -> None:
        request = urllib.request.Request(
            f"{self._server}/{method}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        proxies = urllib.request.ProxyHandler({} if is_loopback(self._server) else None)
        try:
            with urllib.request.build_opener(proxies).open(request, timeout=_SECONDS):
                return
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:300]
            raise ExecutorUnavailable(
                f"{request.full_url} refused the adapters ({error.code}): {detail}. Start the server with "
                "--enable-lora, --max-lora-rank of at least lora_rank, and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            ) from error
        except OSError as error:
            raise ExecutorUnavailable(f"no answer from {request.full_url}: {error}; is the server running?") from error
