"""Several executors in one workflow: `model=` in a call chooses one by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from w4s_gym.errors import ConfigError
from w4s_gym.executors import ChatReply, ChatRequest, Executor, check_executor, make_executor
from w4s_gym.executors.base import PricedExecutor, most_cost
from w4s_gym.ledger import Caps
from w4s_gym.options import from_fields
from w4s_gym.state import PoolCard
from w4s_gym.usage import Usage

_NAME = r"[A-Za-z0-9._-]{1,40}"


@dataclass(frozen=True)
class PoolMember:
    """Options of one executor of a pool."""

    executor: Any = None
    """A spec as `make_executor` takes it, or an `Executor` of your own, which you close yourself."""
    executor_config: Mapping[str, Any] | None = None
    """Its own plain JSON options, beside those that all of the pool share; see `make_executor`."""
    price: Mapping[str, float] | None = None
    """US dollars per million tokens, `{"input": ..., "output": ...}`, in place of what the executor itself costs."""
    item_caps: Caps = Caps()
    """Of one workflow on one item; over it the call raises `BudgetExceeded` inside the workflow."""
    budget: Caps = Caps()
    """Caps on all that the environment asks of it; over it nothing more is measured, as with the option `budget`."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        if self.price is not None and (set(self.price) != {"input", "output"} or min(self.price.values()) < 0):
            raise ConfigError(
                'expected price {"input": $ per million tokens, "output": ...}, none below 0; '
                f"got {dict(self.price)!r}"
            )
        if self.item_caps.programs is not None or self.budget.programs is not None:
            raise ConfigError("expected caps of calls, tokens or dollars; programs are run by no executor")

    def dollars(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of tokens; the member must have a price of its own."""
        assert self.price is not None
        return (prompt_tokens * self.price["input"] + completion_tokens * self.price["output"]) / 1e6

    def check(self) -> None:
        """Find out what can be known wrong without opening anything.

        Raises:
            UnknownExecutor: no such executor.
            ConfigError: neither a spec nor an executor, or an object together with an `executor_config`.
        """
        if isinstance(self.executor, str):
            check_executor(self.executor, self.executor_config)
        elif not isinstance(self.executor, Executor):
            raise ConfigError(
                f"expected an executor's spec such as 'sim:gpt-4o-mini', or an Executor; got {self.executor!r:.80}"
            )
        elif self.executor_config:
            raise ConfigError("expected no executor_config beside an executor object: configure the object itself")

    @property
    def name(self) -> str:
        """The executor's spec, or the name of the object."""
        return self.executor if isinstance(self.executor, str) else self.executor.name


Pool = Mapping[str, PoolMember]
"""Name for `model=` -> member; the first answers calls without `model=`."""


def read_pool(given: Mapping[str, Any], shared: Mapping[str, Any] | None = None) -> Pool:
    """Read the option `executors`; nothing is opened.

    Args:
        given: name -> spec, `Executor`, or fields of `PoolMember`.
        shared: `executor_config` of all that are given by spec.

    Raises:
        UnknownExecutor: no such executor.
        ConfigError: a name or an option cannot be used.
    """
    if not given:
        raise ConfigError('executors: expected at least one, such as {"small": "sim:gpt-3.5-turbo"}; got none')
    pool: dict[str, PoolMember] = {}
    for name, value in given.items():
        if not re.fullmatch(_NAME, str(name)):
            raise ConfigError(
                f"executors: expected names of letters, digits, '.', '_' and '-', at most 40; got {name!r:.80}"
            )
        fields = value if isinstance(value, Mapping) else {"executor": value}
        member = from_fields(PoolMember(), fields, f"executors: {name}")
        if shared and isinstance(member.executor, str):
            member = replace(member, executor_config={**shared, **(member.executor_config or {})})
        try:
            member.check()
        except ConfigError as error:
            raise type(error)(f"executors: {name}: {error}") from None
        pool[name] = member
    return pool


def pool_name(pool: Pool) -> str:
    """Return what a pool is called in tables: `small=sim:gpt-3.5-turbo+large=sim:gpt-4o-mini`."""
    return "+".join(f"{name}={member.name}" for name, member in pool.items())


class ExecutorPool:
    """An executor that hands each request on to the member that it names."""

    def __init__(self, members: Pool) -> None:
        """Open the members."""
        self.members = members
        self._opened: dict[str, Executor] = {
            name: make_executor(m.executor, m.executor_config) if isinstance(m.executor, str) else m.executor
            for name, m in members.items()
        }
        self.name = pool_name(members)
        self.simulated = any(executor.simulated for executor in self._opened.values())
        self.stores = any(getattr(executor, "stores", False) for executor in self._opened.values())
        """Whether what is answered is kept."""

    @property
    def names(self) -> tuple[str, ...]:
        """What `model=` may be; the first is the default."""
        return tuple(self.members)

    def prices(self, name: str) -> tuple[float, float] | None:
        """US dollars per million tokens of prompts and completions of a member, if it is known to cost something."""
        own, executor = self.members[name].price, self._opened[name]
        if own is not None:
            return own["input"], own["output"]
        return executor.price_per_million if isinstance(executor, PricedExecutor) else None

    def cards(self) -> tuple[PoolCard, ...]:
        """What a meta-agent is told about the members."""
        return tuple(
            PoolCard(name, member.name, self._opened[name].simulated, self.prices(name), _caps_text(member.item_caps))
            for name, member in self.members.items()
        )

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Let the member answer that `request.model` names; see `Executor.complete`."""
        member = self.members[request.model]
        reply = await self._opened[request.model].complete(replace(request, model=""))
        return reply if member.price is None else replace(reply, usage=_priced(reply.usage, member))

    def most(self, request: ChatRequest) -> tuple[int, float | None]:
        """Return upper estimates of (tokens, US dollars) of a request."""
        member = self.members[request.model]
        tokens, dollars = most_cost(self._opened[request.model], replace(request, model=""))
        if member.price is not None:
            written = min(tokens, request.n * request.max_tokens)
            dollars = member.dollars(tokens - written, written)
        return tokens, dollars

    async def close(self) -> None:
        """Close the members that were made here. May be called twice."""
        for name, member in self.members.items():
            if isinstance(member.executor, str):
                await self._opened[name].close()


def _caps_text(caps: Caps) -> str:
    limits = (
        (caps.calls, "calls"),
        (caps.tokens, "tokens"),
        (None if caps.dollars is None else f"${caps.dollars:g}", "of calls"),
    )
    return " and ".join(f"{limit} {what}" for limit, what in limits if limit is not None)


def _priced(usage: Usage, member: PoolMember) -> Usage:
    """Put the member's price in place of the executor's; of a reply stored in part, by the share of samples."""
    full = member.dollars(usage.prompt_tokens, usage.completion_tokens)
    stored = full * usage.cached_calls / usage.calls if usage.calls else 0.0
    return replace(usage, dollars=full - stored, cached_dollars=stored)
