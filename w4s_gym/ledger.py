"""Ledger of executor usage with caps that hold before money is spent, nested run > evaluation > item."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from w4s_gym.errors import BudgetExceeded, ConfigError, ExecutorUnavailable, RequestRefused
from w4s_gym.executors.base import ChatReply, ChatRequest, Executor, most_cost
from w4s_gym.usage import Usage


@dataclass(frozen=True)
class Caps:
    """Largest usage allowed; None means no cap."""

    calls: int | None = None
    """Samples asked for, cached ones included."""
    tokens: int | None = None
    """Prompt plus completion tokens."""
    dollars: float | None = None
    """US dollars of calls that were not cached."""
    programs: int | None = None
    """Programs and public tests that a workflow has run."""

    def __post_init__(self) -> None:
        """Refuse caps below zero."""
        if min(self.calls or 0, self.tokens or 0, self.dollars or 0.0, self.programs or 0) < 0:
            raise ConfigError(f"expected caps of at least 0; got {self}")


@dataclass(frozen=True)
class Reservation:
    """The most that calls on their way may cost."""

    calls: int = 0
    """Samples asked for."""
    tokens: int = 0
    """Prompt plus completion tokens."""
    dollars: float | None = 0.0
    """US dollars; None when the price is unknown."""
    executor: str = ""
    """Which executor of a pool is asked."""

    def __add__(self, other: Reservation) -> Reservation:
        """Add up, whichever executors are asked; an unknown price makes the sum unknown."""
        dollars = None if self.dollars is None or other.dollars is None else self.dollars + other.dollars
        return Reservation(self.calls + other.calls, self.tokens + other.tokens, dollars)

    def __mul__(self, count: int) -> Reservation:
        """Return `count` times as much."""
        dollars = None if self.dollars is None else self.dollars * count
        return Reservation(self.calls * count, self.tokens * count, dollars)


class Ledger:
    """Adds up usage and refuses calls over a cap; what a child spends is charged to its parents too.

    A cap covers what was spent plus what is reserved for calls on their way. A reservation is an upper bound, so near a
    cap `reserve` may refuse a call that would have fitted; `admit` waits until the calls on their way are settled.
    All calls must come from one thread.
    """

    def __init__(
        self,
        name: str,
        caps: Caps | None = None,
        parent: Ledger | None = None,
        executor_caps: Mapping[str, Caps] | None = None,
    ) -> None:
        """Open a ledger.

        Args:
            name: used in messages.
            caps: of all calls together.
            parent: is charged too.
            executor_caps: of each executor of a pool.
        """
        self.name = name
        self.caps = caps or Caps()
        self.executor_caps = {n: c for n, c in (executor_caps or {}).items() if c != Caps()}
        self.parent = parent
        self.usage = Usage()
        self.dearest = 0.0
        """The most dollars that were reserved for a single call."""
        self._pending: Counter[Reservation] = Counter()
        self._waiting: list[asyncio.Future[None]] = []

    def child(self, name: str, caps: Caps | None = None, executor_caps: Mapping[str, Caps] | None = None) -> Ledger:
        """Open a ledger whose usage counts here too."""
        return Ledger(name, caps, self, executor_caps)

    @property
    def reserved(self) -> Reservation:
        """Sum of the reservations that are not settled."""
        return self._reserved()

    def _reserved(self, executor: str | None = None) -> Reservation:
        """Sum of all reservations, or of those for one executor."""
        # Summed anew each time: adding and subtracting floats would leave a remainder behind.
        total = Reservation()
        for reservation, count in self._pending.items():
            if executor is None or reservation.executor == executor:
                total = total + reservation * count
        return total

    def reserve(self, calls: int, tokens: int = 0, dollars: float | None = 0.0, executor: str = "") -> Reservation:
        """Set aside what a call may cost at most, before it is made.

        Args:
            calls: samples asked for.
            tokens: upper estimate of prompt plus completion tokens.
            dollars: upper estimate of the price in US dollars; None when the price is unknown.
            executor: which executor of a pool is asked.

        Returns:
            The reservation, to be handed to `settle`.

        Raises:
            BudgetExceeded: a cap of this ledger or of a parent would be passed; nothing is reserved then.
        """
        wanted = Reservation(calls, tokens, dollars, executor)
        chain = self._chain()
        for ledger in chain:
            refusal = ledger._refusal(wanted)
            if refusal:
                raise BudgetExceeded(refusal, ledger.name)
        for ledger in chain:
            ledger.dearest = max(ledger.dearest, dollars or 0.0)
            if wanted != Reservation():
                ledger._pending[wanted] += 1
        return wanted

    async def admit(self, calls: int, tokens: int = 0, dollars: float | None = 0.0, executor: str = "") -> Reservation:
        """Reserve, and wait as long as only reservations of other calls stand in the way.

        Args:
            calls: as for `reserve`.
            tokens: as for `reserve`.
            dollars: as for `reserve`.
            executor: as for `reserve`.

        Raises:
            BudgetExceeded: a cap would be passed even if the calls on their way turned out free.
        """
        wanted = Reservation(calls, tokens, dollars, executor)
        root = self._chain()[-1]
        while True:
            try:
                return self.reserve(calls, tokens, dollars, executor)
            except BudgetExceeded:
                if any(ledger._refusal(wanted, alone=True) for ledger in self._chain()):
                    raise
            settled = asyncio.get_running_loop().create_future()
            root._waiting.append(settled)
            await settled

    def settle(self, reserved: Reservation | int, usage: Usage) -> None:
        """Replace a reservation by what the call really cost.

        Args:
            reserved: what `reserve` returned, or its number of calls if nothing else was reserved.
            usage: the real cost (an empty `Usage` if the call failed before it was billed).
        """
        if isinstance(reserved, int):
            reserved = Reservation(reserved)
        chain = self._chain()
        for ledger in chain:
            ledger.usage = ledger.usage + usage
            if reserved != Reservation():
                ledger._release(reserved)
        waiting, chain[-1]._waiting = chain[-1]._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def charge_program(self) -> None:
        """Count one more program or public test.

        Raises:
            BudgetExceeded: a cap of this ledger or of a parent is reached; nothing is counted then.
        """
        for ledger in self._chain():
            most = ledger.caps.programs
            if most is not None and ledger.usage.programs >= most:
                raise BudgetExceeded(f"{ledger.name}: {most} programs and public tests were run, the most", ledger.name)
        self.settle(0, Usage(programs=1))

    def _release(self, reserved: Reservation) -> None:
        if reserved not in self._pending:
            raise ValueError(f"{self.name}: expected a reservation that `reserve` returned; got {reserved}")
        self._pending[reserved] -= 1
        self._pending += Counter()  # drops what is zero

    def _chain(self) -> list[Ledger]:
        chain: list[Ledger] = []
        ledger: Ledger | None = self
        while ledger is not None:
            chain.append(ledger)
            ledger = ledger.parent
        return chain

    def _refusal(self, wanted: Reservation, alone: bool = False) -> str | None:
        """Say why `wanted` does not fit beside what is spent and, unless `alone`, reserved; None if it fits."""
        nothing = Reservation()
        if self.caps != Caps():
            pending = nothing if alone else self.reserved
            refusal = _over(self.name, self.caps, self.usage, pending, wanted)
            if refusal:
                return refusal
        caps = self.executor_caps.get(wanted.executor)
        if caps is None:
            return None
        pending = nothing if alone else self._reserved(wanted.executor)
        name = f"{self.name}, executor {wanted.executor!r}"
        return _over(name, caps, self.usage.of(wanted.executor), pending, wanted)


def _over(name: str, caps: Caps, spent: Usage, pending: Reservation, wanted: Reservation) -> str | None:
    """Say why a reservation passes a cap, beside what is spent and pending; None if it does not."""
    calls = spent.calls + pending.calls + wanted.calls
    if caps.calls is not None and calls > caps.calls:
        return f"{name}: {calls} executor calls would pass the cap of {caps.calls}"
    used = spent.tokens
    tokens = used + pending.tokens + wanted.tokens
    if caps.tokens is not None and (tokens > caps.tokens or used >= caps.tokens):
        return (
            f"{name}: {used} tokens are spent and up to {tokens - used} more would be needed; "
            f"the cap is {caps.tokens}. Lower max_completion_tokens or raise the cap"
        )
    if caps.dollars is None:
        return None
    if spent.dollars is None or pending.dollars is None or wanted.dollars is None:
        return f"{name}: a dollar cap needs a known price; set `price` in the executor's config"
    dollars = spent.dollars + pending.dollars + wanted.dollars
    if dollars > caps.dollars or (spent.dollars >= caps.dollars and wanted.dollars > 0):
        return (
            f"{name}: ${spent.dollars:.6f} are spent and up to ${dollars - spent.dollars:.6f} more would be "
            f"needed; the cap is ${caps.dollars}"
        )
    return None


async def ask(executor: Executor, request: ChatRequest, ledger: Ledger) -> ChatReply:
    """Make one executor call on the account of `ledger`: reserve, ask, settle; whatever happens, the books balance.

    Args:
        executor: answers the request.
        request: the request.
        ledger: the item's ledger.

    Raises:
        BudgetExceeded: a cap would be passed; nothing was asked.
        ExecutorUnavailable: the endpoint could not be asked; what it billed before is on the ledger.
    """
    reserved = await ledger.admit(request.n, *most_cost(executor, request), request.model)
    paid = Usage()
    try:
        reply = await executor.complete(request)
        paid = reply.usage
        return reply
    except (ExecutorUnavailable, RequestRefused) as error:
        paid = error.usage or Usage()
        raise
    except asyncio.CancelledError:
        paid = Usage(unanswered=request.n)
        raise
    finally:
        if request.model:
            paid = replace(paid, by_executor={request.model: paid})
        ledger.settle(reserved, paid)
