"""Reading the body of a response with status 200."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from w4s_gym.executors.base import Completion, FinishReason
from w4s_gym.executors.complaints import Complaint, read_complaint
from w4s_gym.executors.keys import redact

_ENDS: tuple[tuple[re.Pattern[str], FinishReason], ...] = (
    (re.compile("stop|eos|end_?turn|complete|finish|success|done"), "stop"),
    (re.compile("length|max|limit|token|window|truncat"), "length"),
    (
        re.compile("filter|safe|block|prohibit|recitation|refus|guardrail|sensitive|spii|toxic|moderat"),
        "content_filter",
    ),
    (re.compile("tool|function"), "tool_calls"),
)
_BROKEN = re.compile("error|fail|resource|abort|cancel|timeout|overload|unavailable|interrupt|network|incomplete")
"""Ends that are no end: the server gave up on the way."""


@dataclass(frozen=True)
class Answer:
    """One whole reply of the endpoint."""

    completions: tuple[Completion, ...]
    broken: int
    """Samples beside them that the server gave up on the way."""
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


class NoAnswer(Exception):
    """The body is no chat completion, or one that the server gave up on the way."""


class ErrorInside(Exception):
    """The body is an error in spite of the status 200."""

    def __init__(self, complaint: Complaint) -> None:
        """Keep what the endpoint says."""
        super().__init__(str(complaint))
        self.complaint = complaint


def read_answer(content: str, body: Mapping[str, Any], seconds: float, unanswered: int) -> Answer:
    """Read a chat completion or a text completion.

    Args:
        content: the response's body.
        body: the request's body, to estimate tokens where the endpoint reports none.
        seconds: latency.
        unanswered: see `Answer`.

    Raises:
        NoAnswer: it is none, or no sample of it is whole.
        ErrorInside: it is an error.
    """
    try:
        reply = json.loads(content.lstrip("\ufeff"))
        if isinstance(reply, dict) and not reply.get("choices") and reply.get("error"):
            raise ErrorInside(read_complaint(_status(reply["error"]), reply))
        choices = [(_completion(choice), choice) for choice in reply["choices"]]
        usage = reply.get("usage")
        metered = isinstance(usage, dict) and isinstance(usage.get("prompt_tokens"), int)
        completions = tuple(completion for completion, _ in choices if completion is not None)
        if metered:
            prompt, completion = usage["prompt_tokens"], int(usage.get("completion_tokens") or 0)
            cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        else:
            prompt = sum(len(str(m.get("content", "")).encode()) for m in body.get("messages", ())) // 4 + 1
            completion, cached = sum(len(c.text.encode()) for c in completions) // 4 + 1, 0
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        start = redact(content[:80])
        raise NoAnswer(f"the response is no chat completion ({error!r}): {start!r}") from None
    if not completions:
        ends = sorted({str(choice.get("finish_reason")) for _, choice in choices})
        raise NoAnswer(f"the server gave up on the way: {', '.join(ends)}" if ends else "the response has no choices")
    return Answer(
        completions, len(choices) - len(completions), prompt, completion, cached, metered, seconds, unanswered
    )


def finish_reason(said: Any) -> FinishReason | None:
    """Read why a reply ended, in whatever words; None if the server gave up on the way.

    Example:
        >>> [finish_reason(r) for r in ("end_turn", "MAX_TOKENS", "FinishReason.SAFETY", None, "network_error")]
        ['stop', 'length', 'content_filter', 'stop', None]
    """
    word = re.sub(r"[^a-z]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(said or "")).lower())
    word = word.removeprefix("finish_reason_").removeprefix("finishreason_")
    if _BROKEN.search(word):
        return None
    return next((end for pattern, end in _ENDS if pattern.search(word)), "stop")


def _completion(choice: Mapping[str, Any]) -> Completion | None:
    finish = finish_reason(choice.get("finish_reason"))
    if finish is None or choice.get("error"):
        return None
    message = {"content": choice["text"]} if "text" in choice else choice["message"]
    text = message.get("content") or ""
    if not isinstance(text, str):
        text = "".join(part.get("text", "") for part in text)
    return Completion(text, finish, tuple(message.get("tool_calls") or ()))


def _status(error: Any) -> int:
    """The HTTP status that an error names as its code; else that of a server's own failure."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500
