"""A simulated language model with stated, calibrated behaviour. Every figure made with it is simulated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from w4s_gym.benchmark import Item
from w4s_gym.errors import ConfigError
from w4s_gym.executors.base import ChatReply, ChatRequest, Completion
from w4s_gym.executors.simulation.cost import BYTES_PER_TOKEN, count_prompt_tokens, count_tokens, dollars, seconds
from w4s_gym.executors.simulation.items import ItemModel
from w4s_gym.executors.simulation.noise import Stream, digest
from w4s_gym.executors.simulation.profile import Price, Profile, load_profile
from w4s_gym.executors.simulation.reading import read
from w4s_gym.executors.simulation.writer import write
from w4s_gym.usage import Usage

__all__ = ["SimulatedExecutor"]

_REMEMBERED_ITEMS = 50_000


class SimulatedExecutor:
    """Answers as a pure function of (profile, draw, item, messages, parameters, sample index).

    Nothing else enters: not the order of calls, not the clock, not what was asked before. So results are the same under
    any concurrency and after a resume.
    """

    simulated = True

    def __init__(self, spec: str, profile: Profile | None = None) -> None:
        """Make an executor.

        Args:
            spec: `sim:<name of a shipped profile>` or `sim:<path of a profile file>`.
            profile: use these numbers instead of loading the ones `spec` names.

        Raises:
            UnknownExecutor: no such profile.
            ConfigError: the profile file is invalid.
        """
        self.name = spec
        self.profile = profile or load_profile(spec.removeprefix("sim:"))
        self._items: dict[tuple[str, str], ItemModel] = {}

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request; see `Executor.complete`."""
        reply = self.answer(request)
        if self.profile.latency.sleep:
            await asyncio.sleep(self.profile.latency.sleep * reply.usage.seconds)
        return reply

    async def close(self) -> None:
        """Forget the items."""
        self._items.clear()

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars) of a request."""
        prompt, written = count_prompt_tokens(request.messages), request.n * request.max_tokens
        return prompt + written, dollars(self.profile.price, prompt, written)

    @property
    def price_per_million(self) -> tuple[float, float] | None:
        """US dollars per million tokens of prompts and of completions, as the profile has it."""
        price = self.profile.price
        return (price.prompt_per_million, price.completion_per_million) if price != Price() else None

    def answer(self, request: ChatRequest) -> ChatReply:
        """Answer one request at once.

        Raises:
            ConfigError: the request has no item, whose difficulty and answers the simulation needs.
        """
        if request.item is None:
            raise ConfigError("expected request.item for a simulated executor; got None: pass the benchmark item")
        model = self._model(request.item, request.benchmark)
        reading = read(request, model)
        base = digest(
            self.profile.seed,
            str(request.draw),
            request.item.identity,
            repr((request.temperature, request.max_tokens, request.json_keys, request.json_mode)),
            *(part for m in request.messages for part in (m["role"], m["content"])),
        )
        completions = []
        longest = total = empty = truncated = 0
        for k in range(request.sample_index, request.sample_index + request.n):
            # At temperature 0 all samples of a prompt are the same one.
            stream = Stream(base + (k if request.temperature > 0 else 0).to_bytes(8, "little"))
            text = write(model, reading, self.profile.faults, request.temperature, stream)
            tokens = count_tokens(text)
            cut = tokens > request.max_tokens
            if cut:
                data = text.encode("utf-8", "surrogatepass")[: request.max_tokens * BYTES_PER_TOKEN]
                text, tokens = data.decode("utf-8", "ignore"), request.max_tokens
            completions.append(Completion(text, "length" if cut else "stop"))
            longest, total = max(longest, tokens), total + tokens
            empty, truncated = empty + (not text), truncated + cut
        prompt_tokens = count_prompt_tokens(request.messages)
        usage = Usage(
            calls=request.n,
            prompt_tokens=prompt_tokens,
            completion_tokens=total,
            dollars=dollars(self.profile.price, prompt_tokens, total),
            seconds=seconds(self.profile.latency, prompt_tokens, longest, Stream(base)),
            empty=empty,
            truncated=truncated,
        )
        return ChatReply(tuple(completions), usage)

    def prepare(self, items: Iterable[Item], benchmark: str) -> None:
        """Work the properties of items out beforehand; all that `retuned` makes from now on has them."""
        for item in items:
            self._model(item, benchmark)

    def retuned(self, profile: Profile) -> SimulatedExecutor:
        """Return an executor with other abilities that faces the same items; for fitting.

        Args:
            profile: a profile with the same `seed` and `languages`.
        """
        other = SimulatedExecutor(self.name, profile)
        for (benchmark, item_id), model in self._items.items():
            domain = profile.domain_of(benchmark, model.item.kind)
            other._items[benchmark, item_id] = model.under(domain)
        return other

    def _model(self, item: Item, benchmark: str) -> ItemModel:
        known = self._items.get((benchmark, item.id))
        if known is None or (known.item is not item and known.item != item):
            if len(self._items) >= _REMEMBERED_ITEMS:
                self._items.clear()
            known = self._items[benchmark, item.id] = ItemModel(self.profile, item, benchmark)
        return known
