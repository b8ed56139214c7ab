"""A trained policy that llama.cpp samples from, on this machine: several times faster than transformers on a CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from w4s_gym.algos.policies.gguf import dense_model
from w4s_gym.algos.policies.gguf_adapter import BaseFile, write_adapter
from w4s_gym.algos.policies.hf import HFConfig
from w4s_gym.algos.policies.served import Order, ServedPolicy
from w4s_gym.errors import ExecutorUnavailable
from w4s_gym.executors.base import Completion
from w4s_gym.executors.config import EndpointConfig
from w4s_gym.executors.exchange import Exchange, Refused
from w4s_gym.executors.model_process import ModelServer, ServerSettings

_SLOTS = 8
_SMALLEST_CONTEXT = 2048
_SECONDS = 3600.0


class LlamaCppPolicy(ServedPolicy):
    """Trains the de-quantised weights of a GGUF file, samples from the file itself with the adapters on top.

    The server is this policy's own. It starts anew with new adapters (the file is memory-mapped, so that takes about
    two seconds), after a crash, and when conversations outgrow its context. The texts of a conversation share the
    reading of the prompt; a conversation starts from the part that the server has read before. Conversations are asked
    for one after the other: so the same calls after the same start give the same texts.
    """

    def __init__(self, gguf: Path, name: str, config: HFConfig) -> None:
        """Load the trained side; the server starts with the first sample.

        Args:
            gguf: file of the base model.
            name: name in tables.
            config: options; `lora_rank` must be above 0.

        Raises:
            ConfigError: the options do not train adapters, the file cannot be read, or a package is missing.
        """
        settings = ServerSettings(
            str(gguf), slots=_SLOTS, threads=config.threads or torch.get_num_threads(), reuse_prompts=True
        )
        self._server = ModelServer(settings, shared=False)
        super().__init__(dense_model(gguf), name, config)
        self._base_file = BaseFile.read(gguf, self.model)
        self._folder = tempfile.TemporaryDirectory(prefix="w4s-adapters-")

    def close(self) -> None:
        """Stop the server; the next sample starts it again."""
        self._server.close()

    @property
    def _most(self) -> int:
        return _SLOTS

    def _prepare(self, context: int) -> None:
        settings = self._server.settings
        if context > settings.context or not self._served:
            power = max(_SMALLEST_CONTEXT, 1 << (context - 1).bit_length())
            self._restart(replace(settings, context=power if self.context is None else min(power, self.context)))

    def _send_adapters(self, version: str) -> None:
        target = Path(self._folder.name) / f"{version[:16]}.gguf"
        write_adapter(self.model, self._base_file, target)
        old = self._server.settings.adapter
        self._restart(replace(self._server.settings, adapter=str(target)))
        if old and old != str(target):
            Path(old).unlink(missing_ok=True)

    def _restart(self, settings: ServerSettings) -> None:
        self._server.close()
        self._server = ModelServer(settings, shared=False)

    async def _ask_all(self, orders: Sequence[Order]) -> list[Sequence[Completion]]:
        return [await self._server.use(partial(self._ask, order)) for order in orders]

    async def _ask(self, order: Order, url: str) -> Sequence[Completion]:
        endpoint = EndpointConfig(base_url=url, attempts=3, attempt_seconds=_SECONDS, call_seconds=_SECONDS)
        exchange = Exchange(endpoint, None)
        # transformers and vLLM scale by the temperature before they cut the nucleus; llama.cpp would do it after.
        body = {**self._body(order), "samplers": ["temperature", "top_p", "min_p"], "cache_prompt": True}
        try:
            return (await exchange.post("local", body, path="/completions")).completions
        except Refused as error:
            raise ExecutorUnavailable(f"llama.cpp refuses to sample: {error}") from error
        finally:
            await exchange.close()
