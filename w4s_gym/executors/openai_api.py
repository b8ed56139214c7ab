"""Any OpenAI-compatible endpoint as an executor: OpenAI, Azure, vLLM, llama.cpp, Ollama, LM Studio and others."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from w4s_gym.errors import ConfigError, ExecutorUnavailable, RequestRefused
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion, most_tokens
from w4s_gym.executors.batching import collect
from w4s_gym.executors.body import body, sample_seed
from w4s_gym.executors.config import EndpointConfig
from w4s_gym.executors.dialect import Dialect, Feature, Wording
from w4s_gym.executors.ends import Ends
from w4s_gym.executors.exchange import EndpointAtFault, Exchange, Refused
from w4s_gym.executors.keys import find_key
from w4s_gym.executors.pricing import price_of
from w4s_gym.executors.remedies import guesses, named_remedies
from w4s_gym.executors.replies import Answer
from w4s_gym.json_reply import parse_json_object
from w4s_gym.options import from_fields
from w4s_gym.usage import Usage

_log = logging.getLogger(__name__)
_PACKAGES = ("openai", "aiohttp", "tenacity", "dotenv", "genai_prices")
_MOST_WORDINGS = 24
_CONTROL_SECONDS = 60.0
_CONTROL = ChatRequest(({"role": "user", "content": "Say OK."},), max_tokens=16)
"""What any endpoint that works can answer."""


class OpenAIExecutor:
    """Asks one model of one endpoint.

    What the endpoint supports (`n`, `seed`, JSON schemas, ...) is found out by trying, not by its name. A reply that
    the server spoilt - empty, cut before the token limit, or not the JSON object it had promised - is billed, counted
    by kind and asked for again; a failure of the endpoint is never handed on as an answer.
    """

    simulated = False

    def __init__(self, spec: str, config: Mapping[str, Any] | None = None) -> None:
        """Prepare the executor `openai:<model>`; nothing is sent.

        Args:
            spec: `openai:<model>` (Azure: `openai:<deployment>`).
            config: fields of `EndpointConfig`.

        Raises:
            ConfigError: an unusable config, no key, or a package is missing.
        """
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(f"{spec} needs {', '.join(missing)}: pip install 'w4s-gym[openai]'")
        self.name = spec
        self.config = from_fields(EndpointConfig(), config, "executor config")
        self.model = spec.partition(":")[2]
        self.identity = json.dumps([self.config.endpoint, self.model, self.config.extra], sort_keys=True)
        self._dialect = Dialect(self.config.capabilities, self.config.context_window)
        self._price = price_of(self.model, self.config)
        self._exchange = Exchange(self.config, find_key(self.config))
        self._ends = Ends(self.config.context_window)
        self._answers = 0
        self._control: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"OpenAIExecutor({self.name!r}, endpoint={self.config.endpoint!r})"

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request with `request.n` samples.

        Raises:
            ExecutorUnavailable: the endpoint could not be asked; `usage` holds what was billed nevertheless.
            RequestRefused: the endpoint refuses this request as such.
        """
        return await collect(self.ask, request, self.batch_size())

    def batch_size(self) -> int:
        """Return how many samples one exchange may bring, as far as is known."""
        return self._dialect.most_samples()

    def repeats(self, request: ChatRequest) -> bool:
        """Return False: endpoints do not repeat themselves reliably, not even at temperature 0."""
        return False

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars) of a request."""
        tokens = request.n * most_tokens(request)
        output = request.n * request.max_tokens
        return tokens, self._price(tokens - output, output, 0)

    @property
    def price_per_million(self) -> tuple[float, float] | None:
        """US dollars per million tokens of prompts and of completions; None when it costs nothing or nobody knows."""
        prompt, completion = self._price(1_000_000, 0, 0), self._price(0, 1_000_000, 0)
        if prompt is None or completion is None:
            return None
        return (prompt, completion) if prompt + completion else None

    async def ask(self, request: ChatRequest) -> ChatReply:
        """Make one exchange, and further ones for samples that the server spoilt.

        Raises:
            ExecutorUnavailable: no answer after all retries.
            RequestRefused: the endpoint refuses this request as such.
        """
        paid = Usage()
        wanted = request
        ended_at: int | None = None
        for reask in range(self.config.reasks + 1):
            seed = sample_seed(request, request.sample_index, reask)
            try:
                answer, wording = await self._send(wanted, seed)
            except ExecutorUnavailable as error:
                paid = paid + (error.usage or Usage())
                answer, wording = await self._last_chance(wanted, seed, error, paid)
            if len(answer.completions) + answer.broken < wording.n:
                self._dialect.refuse(wanted, "n")
            cut = self._ends.cut(answer, wording.max_tokens)
            total = answer.prompt_tokens + answer.completion_tokens
            if cut and total == ended_at and self._ends.learn(answer):
                cut = False  # twice at the same place: no accident
            ended_at = total if cut else None
            samples = answer.completions[: wanted.n]
            spoilt = tuple(c for c in samples if _spoilt(c, cut, wanted, wording.features))
            kept = tuple(c for c in samples if c not in spoilt)
            if not kept and reask == self.config.reasks:
                kept, spoilt = samples[:1], samples[1:]
            paid = paid + self._usage(answer, wanted, spoilt)
            if kept:
                return ChatReply(kept, paid)
            wanted = replace(wanted, n=1)
        raise AssertionError("the last re-ask returns")

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        control, self._control = self._control, None
        if control is not None and control.get_loop() is asyncio.get_running_loop():
            control.cancel()
        await self._exchange.close()

    async def _last_chance(
        self, request: ChatRequest, seed: int, error: ExecutorUnavailable, paid: Usage
    ) -> tuple[Answer, Wording]:
        """Post a request that failed for good once more, between two controls that show whom to blame.

        Raises:
            ExecutorUnavailable: the endpoint is down or overloaded.
            RequestRefused: it answers both controls, but not this request.
        """
        if isinstance(error, EndpointAtFault) or await self._trouble() is not None:
            raise EndpointAtFault(str(error), paid) from None
        try:
            return await self._send(request, seed, self._brief())
        except ExecutorUnavailable as again:
            paid = paid + (again.usage or Usage())
            if isinstance(again, EndpointAtFault) or await self._trouble() is not None:
                raise EndpointAtFault(str(again), paid) from None
            raise RequestRefused(f"{self.name} answers other requests, but not this one: {again}", paid) from None

    def _brief(self) -> EndpointConfig:
        return replace(self.config, attempts=2, call_seconds=min(self.config.call_seconds, _CONTROL_SECONDS))

    async def _trouble(self) -> Exception | None:
        """Ask something that nothing can be wrong with (its few tokens do not count); return what went wrong, if any.

        All that want to know at the same time share one control.
        """
        loop = asyncio.get_running_loop()
        control = self._control
        if control is None or control.done() or control.get_loop() is not loop:
            control = self._control = loop.create_task(self._ask_control())
        (outcome,) = await asyncio.gather(asyncio.shield(control), return_exceptions=True)
        return outcome if isinstance(outcome, Exception) else None

    async def _ask_control(self) -> None:
        await self._send(_CONTROL, 0, self._brief(), control=True)

    async def _send(
        self, request: ChatRequest, seed: int, config: EndpointConfig | None = None, *, control: bool = False
    ) -> tuple[Answer, Wording]:
        """Post a request; where it is refused, in other words that the endpoint may take.

        Raises:
            RequestRefused: the endpoint answers others, but refuses this request in any wording.
            ExecutorUnavailable: it refuses all requests, or there is no answer.
        """
        first = wording = self._dialect.wording(request)
        answers, refusal, cleared = self._answers, None, control
        tried: set[Wording] = set()
        waiting: list[Wording] = []
        while True:
            tried.add(wording)
            try:
                answer = await self._exchange.post(self.model, body(request, wording, seed), config)
            except Refused as error:
                refusal = refusal or error
                _log.info("%s: %s", self.name, error)
                waiting = [*named_remedies(request, wording, error.complaint), *waiting]
                waiting = [w for w in waiting if w not in tried]
                if not waiting:
                    if not cleared:
                        # Before anything is guessed or blamed on the request: does it answer anything at all?
                        await self._clear(refusal, answers)
                        cleared = True
                        first = self._dialect.wording(request)  # the control may have taught something
                    waiting = [w for w in (first, *guesses(request, first, self._dialect)) if w not in tried]
                if not waiting or len(tried) >= _MOST_WORDINGS:
                    if not cleared:
                        await self._clear(refusal, answers)
                    raise RequestRefused(f"{self.name} refuses this request: {refusal}") from None
                wording = waiting.pop(0)
                continue
            self._answers += 1
            self._dialect.learn(request, first, wording)
            return answer, wording

    async def _clear(self, refusal: Refused, answers: int) -> None:
        """Return if the endpoint answers anything: when the request came it had answered `answers` times.

        Raises:
            ExecutorUnavailable: it does not.
        """
        if self._answers > answers:
            return
        trouble = await self._trouble()
        if isinstance(trouble, RequestRefused):
            raise EndpointAtFault(
                f"{self.config.endpoint} refuses all requests, also the simplest: {refusal}. "
                "Check the key, the model's name, the account and `extra`"
            ) from None
        if trouble is not None:
            raise trouble

    def _usage(self, answer: Answer, request: ChatRequest, spoilt: tuple[Completion, ...]) -> Usage:
        dollars = None
        if answer.metered:
            dollars = self._price(answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens)
        return Usage(
            calls=len(answer.completions),
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            dollars=dollars,
            seconds=answer.seconds,
            empty=sum(_is_empty(c) for c in answer.completions),
            truncated=sum(c.finish_reason == "length" for c in answer.completions),
            # What the caller gets is judged by the caller, who knows what it can read.
            malformed=sum(_breaks_json(c, request.json_keys) for c in spoilt) if _wants_json(request) else 0,
            unanswered=answer.unanswered,
        )


def _is_empty(completion: Completion) -> bool:
    return not completion.text.strip() and not completion.tool_calls


def _wants_json(request: ChatRequest) -> bool:
    return bool(request.json_keys) or request.json_mode


def _breaks_json(completion: Completion, keys: tuple[str, ...]) -> bool:
    """Tell whether a finished text is not one JSON object with at least these keys."""
    if _is_empty(completion) or completion.finish_reason != "stop":
        return False
    found = parse_json_object(completion.text, keys)  # what can be read is not paid for twice
    return found is None or not set(keys) <= set(found)


def _spoilt(completion: Completion, cut: bool, request: ChatRequest, features: frozenset[Feature]) -> bool:
    """Tell whether the server, not the model, is to blame for a useless reply.

    A reply that ends at the token limit is the model's own doing, and so is bad JSON from a server that was not asked
    to enforce it.
    """
    if completion.finish_reason == "length":
        return cut
    if _is_empty(completion):
        return completion.finish_reason == "stop"
    if "json_schema" in features:
        return _breaks_json(completion, request.json_keys)
    return "json_mode" in features and _breaks_json(completion, ())
