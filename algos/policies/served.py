"""Policies that are trained here and sampled by a server with the same base model.

Training changes LoRA adapters only. Before a server writes anything, the hash of the adapters' present values is
compared with that of the ones it has; when they differ it gets the new ones first, so no text comes from weights that
are out of date.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w4s_gym._loop import run_sync
from w4s_gym.algos.policies.base import Sample
from w4s_gym.algos.policies.gguf_adapter import adapters_hash
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.policies.reply_form import STOP, completed
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.errors import ConfigError
from w4s_gym.executors.base import Completion
from w4s_gym.executors.reply_store import ReplyStore
from w4s_gym.messages import Message


@dataclass(frozen=True)
class Order:
    """Texts that are asked for in one exchange."""

    prompt: Sequence[int]
    """Tokens."""
    n: int
    """Number of texts; they share the reading of the prompt."""
    seed: int
    """Of the first text; text i has the seed `seed + i`."""


class ServedPolicy(HFPolicy):
    """Trains here, samples there. Subclasses know one kind of server.

    Prompts are sent as tokens, by the completions route of the OpenAI protocol, so that the server reads exactly what
    the trainer trains on, and samples from the model's own distribution: only `temperature`,
    `top_p` and `min_p` change it.
    """

    def __init__(self, source: str | Path, name: str, config: HFConfig) -> None:
        """Load the trained side.

        Args:
            source: as for `HFPolicy`; the server serves the same model.
            name: name in tables.
            config: options; `lora_rank` must be above 0.

        Raises:
            ConfigError: the options do not train adapters.
        """
        if not config.lora_rank:
            raise ConfigError(
                f"{name}: expected lora_rank above 0, since a server can only be sent adapters, not full "
                "weights; got 0. With sampler='transformers' all weights can be trained"
            )
        super().__init__(source, name, config)
        self._served = ""
        self._kept = ReplyStore(config.texts, writable=True) if config.texts else None

    def sample(self, conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
        """Write `m` texts for each conversation (see `Policy.sample`).

        Raises:
            ConfigError: a conversation leaves no room in the model's context.
            ExecutorUnavailable: the server could not be asked, or refused the adapters.
        """
        prompts = self._prompts(conversations)
        wanted: dict[tuple[int, ...], list[int]] = {}
        for place, prompt in enumerate(prompts):
            wanted.setdefault(tuple(prompt), []).append(place)
        orders, owners = [], []
        for tokens, places in wanted.items():
            # The same conversation twice in one call means two independent sets of samples.
            first = derive_seed(seed, " ".join(map(str, tokens))) % 2**30
            total = m * len(places)
            for start in range(0, total, self._most):
                count = min(self._most, total - start)
                orders.append(Order(tokens, count, first + start))
                owners += [(places[i // m], i % m) for i in range(start, start + count)]
        texts = [text for reply in self._answers(orders) for text in reply]
        samples = {owner: self._sample(text, len(prompts[owner[0]])) for owner, text in zip(owners, texts, strict=True)}
        return [[samples[place, i] for i in range(m)] for place in range(len(prompts))]

    def _answers(self, orders: Sequence[Order]) -> list[Sequence[Completion]]:
        """The texts of each order, those that are kept and those that the server is asked for now."""
        version = adapters_hash(self.model)
        keys = [self._key(order, version) for order in orders]
        answers = [self._read(key) for key in keys]
        lacking = [i for i, answer in enumerate(answers) if answer is None]
        if lacking:
            self._prepare(max(len(orders[i].prompt) for i in lacking) + self.config.max_new_tokens)
            if version != self._served:
                self._send_adapters(version)
                self._served = version
            for i, reply in zip(lacking, run_sync(self._ask_all([orders[i] for i in lacking])), strict=True):
                answers[i] = reply
                if self._kept is not None:
                    self._kept.put({keys[i]: json.dumps([[c.text, c.finish_reason] for c in reply])})
        return [answer for answer in answers if answer is not None]

    def _key(self, order: Order, version: str) -> str:
        facts = json.dumps([self._base_hash, version, dict(self._body(order))], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()

    def _read(self, key: str) -> Sequence[Completion] | None:
        text = self._kept.get(key) if self._kept is not None else None
        return None if text is None else [Completion(written, reason) for written, reason in json.loads(text)]

    @property
    @abstractmethod
    def _most(self) -> int:
        """Most texts of one exchange."""

    def _prepare(self, context: int) -> None:
        """Get ready for conversations that take up to `context` tokens with what is written."""

    @abstractmethod
    def _send_adapters(self, version: str) -> None:
        """Make the server use the present adapters from now on, whose hash is `version`."""

    @abstractmethod
    async def _ask_all(self, orders: Sequence[Order]) -> list[Sequence[Completion]]:
        """Return the texts of each order."""

    def _body(self, order: Order) -> Mapping[str, Any]:
        """The body of `POST /completions`; what would bend the distribution by default is switched off."""
        return {
            "prompt": list(order.prompt),
            "n": order.n,
            "seed": order.seed,
            "max_tokens": self.config.max_new_tokens,
            "temperature": self.config.temperature,
            "top_p": self.config.top_p,
            "top_k": -1,
            "min_p": self.config.min_p,
            "repetition_penalty": 1.0,
            **({"stop": [STOP]} if self.config.reply_form == "code" else {}),
        }

    def _sample(self, completion: Completion, prompt_tokens: int) -> Sample:
        truncated = completion.finish_reason == "length"
        written = completion.text
        if self.config.reply_form == "code" and not truncated:
            written += STOP  # which the server leaves out
        reply, _ = completed(self.config.reply_form, written)
        return Sample(reply, truncated, prompt_tokens, len(self.codec.target(completion.text, truncated)))
