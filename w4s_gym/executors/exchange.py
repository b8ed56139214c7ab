"""HTTP exchanges with an OpenAI-compatible endpoint: slots, deadlines, retries, and what came back."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from w4s_gym.errors import ExecutorUnavailable
from w4s_gym.executors.base import Completion, FinishReason
from w4s_gym.executors.config import EndpointConfig, is_loopback
from w4s_gym.executors.keys import redact
from w4s_gym.executors.pool import Pool, pool_for
from w4s_gym.usage import Usage

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI
    from tenacity import RetryCallState

_log = logging.getLogger(__name__)
_LONGEST_BACKOFF = 30.0
_UNREACHED_ATTEMPTS = 3
_NEVER_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout")
_OVERLOADED = (429, 503, 529)
_GATEWAY_TIMEOUTS = (408, 504, 524)
_BAD_REQUEST = (400, 413, 422, 501)
_FINISH: dict[str | None, FinishReason] = {
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


@dataclass(frozen=True)
class Answer:
    """One whole reply of the endpoint."""

    completions: tuple[Completion, ...]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    """Those of the prompt tokens that the provider had in its cache (billed at another rate)."""
    metered: bool
    """Whether the endpoint reported tokens; else they are estimated at 4 bytes each."""
    seconds: float
    """Latency of the exchange that brought the answer."""
    unanswered: int
    """Exchanges before it that may have been billed although no whole answer came back."""


class Refused(Exception):
    """The endpoint says that the request is wrong (status 400, 413, 422 or 501)."""


class EndpointAtFault(ExecutorUnavailable):
    """The endpoint asked for less until the end, or refuses the key or the model: no request is to blame."""


class _Transient(Exception):
    """A failure after which asking again makes sense."""

    def __init__(self, why: str, *, congestion: bool = False, retry_after: float | None = None, billed: bool = False):
        super().__init__(why)
        self.congestion = congestion
        self.retry_after = retry_after
        self.billed = billed
        """The endpoint may have billed it."""


class Exchange:
    """Posts request bodies to one endpoint. Use it from one event loop at a time."""

    def __init__(self, config: EndpointConfig, key: str | None) -> None:
        """Keep the endpoint's config and key; nothing is opened."""
        self._config = config
        self._key = key
        self._client: AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"Exchange({self._config.endpoint!r})"

    async def post(
        self,
        model: str,
        body: Mapping[str, Any],
        config: EndpointConfig | None = None,
        *,
        path: str = "/chat/completions",
    ) -> Answer:
        """Post one request and retry as long as that makes sense.

        Args:
            model: name of the model or of the Azure deployment.
            body: the request's body without the model.
            config: says how often and for how long to try; the exchange's own by default.
            path: `/chat/completions`, or `/completions` for a body with a `prompt`.

        Raises:
            Refused: the request itself is wrong.
            ExecutorUnavailable: no answer; its usage counts exchanges that may have been billed.
        """
        from tenacity import AsyncRetrying, retry_if_exception_type

        pool = pool_for(self._config.endpoint, self._config.concurrency)
        course = _Course(config or self._config, pool)
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Transient), wait=course.wait, stop=course.stop, reraise=True
        )
        try:
            return await retrying(self._attempt, path, model, body, pool, course)
        except _Transient as error:
            raise (ExecutorUnavailable if error.retry_after is None else EndpointAtFault)(
                f"{self._config.endpoint}: no answer after {course.attempts} attempts; the last one failed: {error}. "
                "Check that the endpoint is up and its limits; answered calls are in the cache if one is on",
                Usage(unanswered=course.unanswered),
            ) from None

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.close()

    async def _attempt(self, path: str, model: str, body: Mapping[str, Any], pool: Pool, course: _Course) -> Answer:
        from openai import APIConnectionError, APIStatusError

        async with pool.slot(first=course.attempts > 0) as round_:
            course.begin()
            client = self._connected()
            whole = {"model": model, **body, **self._config.extra}
            started = time.monotonic()
            try:
                async with asyncio.timeout(self._config.attempt_seconds):
                    # Not `client.chat.completions.create`: it spends a millisecond a call on converting plain JSON.
                    text = await client.post(path, cast_to=str, body=whole)
                answer = _read(text, body, time.monotonic() - started, course.unanswered)
                pool.answered()
                return answer
            except TimeoutError:
                failure = _Transient(
                    f"no answer within {self._config.attempt_seconds:g} s", congestion=True, billed=True
                )
            except APIStatusError as error:
                pool.reached = True
                failure = self._status_failure(error, course)
            except APIConnectionError as error:
                failure = _connection_failure(error)
            except _Transient as error:
                failure = error
            if failure.billed:
                course.unanswered += 1
            if failure.congestion:
                pool.congested(round_, failure.retry_after)
            _log.debug("%s: %s", self._config.endpoint, failure)
            raise failure

    def _connected(self) -> AsyncOpenAI:
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAioHttpClient

            # Retries are ours (they must not be nested), and so is the deadline of an attempt. With the default client
            # the processor, not the endpoint, limits the pool: it looks at all connections for every call.
            common: dict[str, Any] = {
                "max_retries": 0,
                "timeout": self._config.attempt_seconds + 5.0,
                # Proxies of the environment are for what lies beyond this machine.
                "http_client": DefaultAioHttpClient(trust_env=not is_loopback(self._config.url)),
            }
            if self._config.azure_endpoint:
                self._client = AsyncAzureOpenAI(
                    azure_endpoint=self._config.azure_endpoint,
                    api_version=self._config.azure_api_version,
                    api_key=self._key,
                    **common,
                )
            else:
                self._client = AsyncOpenAI(base_url=self._config.url, api_key=self._key or "none", **common)
            self._loop = loop
        return self._client

    def _status_failure(self, error: APIStatusError, course: _Course) -> _Transient:
        """Sort a response with an error status; raise at once when asking again is no use."""
        status, message = error.status_code, redact(str(error.message))[:500]
        why = f"status {status}: {message}"
        if status in _BAD_REQUEST or (status == 429 and "too large" in message):  # larger than a minute's allowance
            raise Refused(message) from None
        hopeless = status == 429 and error.code in ("insufficient_quota", "billing_hard_limit_reached")
        if hopeless or (400 <= status < 500 and status not in (408, 409, 425, 429)):
            # Some answer 403 to a single prompt that they dislike.
            raise (ExecutorUnavailable if status == 403 else EndpointAtFault)(
                f"{self._config.endpoint} refuses all requests: {why}. Check the key, the model's name and the account",
                Usage(unanswered=course.unanswered),
            ) from None
        retry_after = _retry_after(error.response.headers) if status in _OVERLOADED else None
        return _Transient(
            why,
            congestion=status in _OVERLOADED or status in _GATEWAY_TIMEOUTS,
            retry_after=retry_after if retry_after is not None or status != 429 else 0.0,
            billed=status in _GATEWAY_TIMEOUTS,
        )


class _Course:
    """The attempts at one answer: when to go on, and how long to pause."""

    def __init__(self, config: EndpointConfig, pool: Pool) -> None:
        from tenacity import wait_random_exponential

        self._config = config
        self._pool = pool
        self._backoff = wait_random_exponential(multiplier=config.backoff_seconds, max=_LONGEST_BACKOFF)
        self._deadline = 0.0
        self._failures = 0
        self.attempts = 0
        self.unanswered = 0

    def begin(self) -> None:
        """Note that an attempt has its slot. The call's deadline counts from the first, not from the queue."""
        if not self.attempts:
            self._deadline = time.monotonic() + self._config.call_seconds
        self.attempts += 1

    def wait(self, state: RetryCallState) -> float:
        """Return the pause before the next attempt, in seconds."""
        return max(self._backoff(state), _failure(state).retry_after or 0.0)

    def stop(self, state: RetryCallState) -> bool:
        """Tell whether to give up. Being told to slow down (429) does not use up attempts, only time."""
        if _failure(state).retry_after is None:
            self._failures += 1
        if not self._pool.reached and self._failures >= _UNREACHED_ATTEMPTS:
            return True  # nobody is there: do not let hundreds of calls wait for nothing
        late = time.monotonic() + (state.upcoming_sleep or 0.0) > self._deadline
        return late or self._failures >= self._config.attempts


def _failure(state: RetryCallState) -> _Transient:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _Transient)
    return error


def _connection_failure(error: APIConnectionError) -> _Transient:
    cause = error.__cause__
    never_sent = type(cause).__name__ in _NEVER_SENT
    detail = redact(str(cause or error)) or type(cause).__name__
    if never_sent:
        return _Transient(f"cannot connect: {detail}")
    # httpx reports its own timeouts here as well.
    slow = "Timeout" in type(cause).__name__
    return _Transient(f"connection lost: {detail}", congestion=slow, billed=True)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `retry-after-ms` (milliseconds) or `Retry-After` (seconds or a date, RFC 9110); seconds, or None."""
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            return max(0.0, float(milliseconds) / 1000)
        if value is not None:
            return max(0.0, float(value))
    except ValueError:
        pass
    if value is not None:
        date = email.utils.parsedate_tz(value)
        if date is not None:
            return max(0.0, email.utils.mktime_tz(date) - time.time())
    return None


def _read(content: str, body: Mapping[str, Any], seconds: float, unanswered: int) -> Answer:
    """Read the body of a response with the status 200.

    Raises:
        _Transient: it is no chat completion.
    """
    try:
        reply = json.loads(content)
        completions = tuple(_completion(choice) for choice in reply["choices"])
        usage = reply.get("usage")
        metered = isinstance(usage, dict) and isinstance(usage.get("prompt_tokens"), int)
        if metered:
            prompt, completion = usage["prompt_tokens"], int(usage.get("completion_tokens") or 0)
            cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        else:
            prompt = sum(len(str(m.get("content", "")).encode()) for m in body.get("messages", ())) // 4 + 1
            completion, cached = sum(len(c.text.encode()) for c in completions) // 4 + 1, 0
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        start = redact(content[:80])
        raise _Transient(f"the response is no chat completion ({error!r}): {start!r}", billed=True) from None
    if not completions:
        raise _Transient("the response has no choices", billed=True)
    return Answer(completions, prompt, completion, cached, metered, seconds, unanswered)


def _completion(choice: Mapping[str, Any]) -> Completion:
    message = {"content": choice["text"]} if "text" in choice else choice["message"]
    text = message.get("content") or ""
    if not isinstance(text, str):
        text = "".join(part.get("text", "") for part in text)
    finish = _FINISH.get(choice.get("finish_reason"), "stop")
    return Completion(text, finish, tuple(message.get("tool_calls") or ()))
