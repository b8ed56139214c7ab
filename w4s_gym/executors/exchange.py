"""HTTP exchanges with an OpenAI-compatible endpoint: slots, deadlines, retries, and what came back."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from w4s_gym.errors import ExecutorUnavailable
from w4s_gym.executors.complaints import Complaint, read_complaint
from w4s_gym.executors.config import EndpointConfig, is_loopback
from w4s_gym.executors.keys import redact
from w4s_gym.executors.pool import Pool, pool_for
from w4s_gym.executors.replies import Answer, ErrorInside, NoAnswer, read_answer
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


class Refused(Exception):
    """The endpoint says that the request is wrong."""

    def __init__(self, complaint: Complaint) -> None:
        """Keep what it says."""
        super().__init__(str(complaint))
        self.complaint = complaint


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
                "Check that the endpoint is up, its address and its limits",
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
                answer = read_answer(text, body, time.monotonic() - started, course.unanswered)
                pool.answered()
                return answer
            except TimeoutError:
                failure = _Transient(
                    f"no answer within {self._config.attempt_seconds:g} s", congestion=True, billed=True
                )
            except APIStatusError as error:
                pool.reached = True
                failure = self._failure_of(_complaint(error), error.response.headers, course)
            except ErrorInside as error:
                failure = self._failure_of(error.complaint, {}, course)
            except APIConnectionError as error:
                failure = _connection_failure(error)
            except NoAnswer as error:
                failure = _Transient(str(error), billed=True)
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

    def _failure_of(self, complaint: Complaint, headers: Mapping[str, str], course: _Course) -> _Transient:
        """Sort an error of the endpoint; raise at once when asking again is no use."""
        status = complaint.status
        if complaint.is_denial:
            raise EndpointAtFault(
                f"{self._config.endpoint} refuses all requests: {complaint}. "
                "Check the key, the model's name, the address and the account",
                Usage(unanswered=course.unanswered),
            ) from None
        if complaint.is_refusal or (400 <= status < 500 and status not in (408, 409, 425, 429)):
            raise Refused(complaint) from None
        retry_after = _retry_after(headers) if status in _OVERLOADED else None
        return _Transient(
            str(complaint),
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


def _complaint(error: APIStatusError) -> Complaint:
    body = error.body if error.body is not None else error.response.text
    return read_complaint(error.status_code, body)


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
    then = _seconds_of(value)
    if then is None:
        return None
    # By the server's own clock, which may differ from this machine's.
    now = _seconds_of(headers.get("date"))
    return max(0.0, then - (time.time() if now is None else now))


def _seconds_of(date: str | None) -> float | None:
    parsed = email.utils.parsedate_tz(date) if date else None
    return None if parsed is None else float(email.utils.mktime_tz(parsed))
