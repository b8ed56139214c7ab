"""A trainable policy whose sampling is done by an OpenAI-compatible server (vLLM) with the same base model.

Training changes LoRA adapters only. Before the next sampling they are written to a folder and loaded into the server
under a new name, so that no text comes from weights that are out of date.
"""

from __future__ import annotations

import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from w4s_gym.algos.policies.base import Sample
from w4s_gym.algos.policies.endpoint import OpenAIConfig, OpenAIPolicy
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.errors import ConfigError, ExecutorUnavailable
from w4s_gym.messages import Message

_SECONDS = 120.0


class ServedPolicy(HFPolicy):
    """Trains here, samples there.

    The server must accept adapters at run time: `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve <model>
    --enable-lora`. It must see the same file system.
    """

    def __init__(self, source: str | Path, name: str, config: HFConfig, server: str, folder: str = "") -> None:
        """Load the trained side.

        Args:
            source: as for `HFPolicy`; the server serves the same model.
            name: name in tables.
            config: options; `lora_rank` must be above 0.
            server: base URL, for instance `http://localhost:8000/v1`.
            folder: where adapters are written for the server (default: a new temporary folder).

        Raises:
            ConfigError: the options do not train adapters.
        """
        if not config.lora_rank:
            raise ConfigError("expected lora_rank above 0: a server can only be sent adapters, not full weights")
        super().__init__(source, name, config)
        self._server = server.rstrip("/")
        self._folder = Path(folder or tempfile.mkdtemp(prefix="w4s-adapters-"))
        self._version = 0
        self._served: OpenAIPolicy | None = None
        self._loaded = ""

    def weights_changed(self) -> None:
        """The adapters in the server are out of date from now on."""
        self._served = None

    def sample(self, conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
        """Write `m` texts for each conversation; the server's continuous batching does the work.

        Raises:
            ExecutorUnavailable: the server could not be asked, or refused the adapters.
        """
        if self._served is None:
            self._served = self._send_adapters()
        return self._served.sample(conversations, m, seed)

    def _send_adapters(self) -> OpenAIPolicy:
        self._version += 1
        name = f"w4s-{self._version}"
        target = (self._folder / name).resolve()
        self.model.save_pretrained(target)
        self._post("load_lora_adapter", {"lora_name": name, "lora_path": str(target)})
        if self._loaded:
            self._post("unload_lora_adapter", {"lora_name": self._loaded})
        self._loaded = name
        endpoint = {"base_url": self._server}
        options = OpenAIConfig(self.config.temperature, self.config.max_new_tokens, self.config.prompt_style, endpoint)
        return OpenAIPolicy(f"openai:{name}", options)

    def _post(self, method: str, body: dict[str, str]) -> None:
        request = urllib.request.Request(
            f"{self._server}/{method}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):
                return
        except urllib.error.HTTPError as error:
            detail = error.read().decode(errors="replace")[:300]
            raise ExecutorUnavailable(
                f"{request.full_url} refused the adapters ({error.code}): {detail}. Start the server with "
                "--enable-lora, --max-lora-rank of at least lora_rank, and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            ) from error
        except OSError as error:
            raise ExecutorUnavailable(f"no answer from {request.full_url}: {error}; is the server running?") from error
