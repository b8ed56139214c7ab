"""A frozen meta-agent behind an OpenAI-compatible endpoint, or behind any other executor."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from w4s_gym._loop import run_sync
from w4s_gym.algos.policies.base import Sample
from w4s_gym.algos.policies.reply_form import ReplyForm, check_form, completed, first_words
from w4s_gym.executors import make_executor
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, Usage
from w4s_gym.messages import Message
from w4s_gym.prompts import PromptStyle

_FENCE = "```"


@dataclass(frozen=True)
class OpenAIConfig:
    """Options of a policy behind an endpoint."""

    temperature: float = 0.5
    max_new_tokens: int = 4096
    prompt_style: PromptStyle = "full"
    """Which observation it wants from the environment."""
    reply_form: ReplyForm = "free"
    """`code`: a reply is one Python block whose first words are set and whose closing fence ends it (small models). The
    first words go along as the beginning of the assistant's message; llama.cpp goes on with it, vLLM does with
    `{"extra": {"continue_final_message": true, "add_generation_prompt": false}}` among the endpoint's options."""
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    """Options of the endpoint, as for an executor of the same name (`base_url`, prices, ...)."""

    def __post_init__(self) -> None:
        """Reject values that cannot be used."""
        check_form(self.reply_form)


class OpenAIPolicy:
    """Samples from a model behind an endpoint; its weights are out of reach, so it cannot be trained.

    Retries, rate limits, prices and the key are handled as for executors.
    """

    def __init__(self, spec: str, config: OpenAIConfig | None = None) -> None:
        """Prepare the policy `openai:<model>` (or `local:<model>`); nothing is sent yet.

        Raises:
            ConfigError: unknown scheme or option, or no API key.
        """
        self.name = spec
        self.config = config or OpenAIConfig()
        self.prompt_style = self.config.prompt_style
        self.usage = Usage()
        """What sampling has cost so far."""
        self._executor = make_executor(spec, dict(self.config.endpoint))

    def sample(self, conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
        """Write `m` texts for each conversation (see `Policy.sample`); all are asked for together.

        The seed reaches endpoints that know one; others give other texts each time.

        Raises:
            ExecutorUnavailable: the endpoint could not be asked after all retries.
        """
        form = self.config.reply_form
        begun: tuple[Message, ...] = ({"role": "assistant", "content": first_words(form)},) if form == "code" else ()
        seen: dict[str, int] = {}
        requests = []
        for conversation in conversations:
            occurrence = seen[repr(conversation)] = seen.get(repr(conversation), -1) + 1
            requests.append(
                ChatRequest(
                    messages=(*conversation, *begun),
                    temperature=self.config.temperature,
                    max_tokens=self.config.max_new_tokens,
                    n=m,
                    draw=seed,
                    sample_index=occurrence * m,
                )
            )
        replies = run_sync(self._ask(requests))
        self.usage = sum((reply.usage for reply in replies), self.usage)
        return [[_sample(c, form) for c in reply.completions] for reply in replies]

    async def _ask(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        return list(await asyncio.gather(*(self._executor.complete(request) for request in requests)))

    def close(self) -> None:
        """Close the connections. May be called twice."""
        run_sync(self._executor.close())


def _sample(completion: Completion, form: ReplyForm) -> Sample:
    truncated = completion.finish_reason == "length"
    if completion.text.lstrip().startswith(_FENCE):  # it began anew instead of going on
        return Sample(completion.text, truncated)
    reply, complete = completed(form, completion.text)
    return Sample(reply, truncated and not complete)
