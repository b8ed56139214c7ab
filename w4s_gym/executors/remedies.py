"""Which other wordings to try after an endpoint refused a request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from w4s_gym.executors.base import ChatRequest
from w4s_gym.executors.complaints import Complaint
from w4s_gym.executors.dialect import Dialect, Feature, Wording, likely_prompt

_SPOKEN: tuple[tuple[Feature, re.Pattern[str]], ...] = (
    (
        "max_tokens",
        re.compile(
            r"max_?(?:completion|output|new)?_?tokens|max_length|n_predict|"
            r"(?:maximum|completion|output|requested|total|too many)\W+tokens|tokens? (?:limit|you requested)|"
            r"context.(?:length|window|size|limit)|\bctx\b",
            re.IGNORECASE,
        ),
    ),
    ("temperature", re.compile(r"\btemperature\b", re.IGNORECASE)),
    ("json_schema", re.compile(r"json_schema|response_format|\bschema\b|structured output", re.IGNORECASE)),
    ("json_mode", re.compile(r"json_object|response_format|json mode", re.IGNORECASE)),
    ("n", re.compile(r"""['"`]n['"`]|\bn\s*(?:=|>|<|must|should|is\b|in\b)|multiple (?:choices|completions)""")),
    ("seed", re.compile(r"\bseed\b", re.IGNORECASE)),
)
_FALLBACK_ORDER: tuple[Feature, ...] = (
    "json_schema", "json_mode", "n", "seed", "max_tokens", "temperature", "any_order", "system",
)  # fmt: skip
_UNKNOWN = re.compile(
    r"unsupported (?:param|field|arg)|un(?:known|recogni[sz]ed|expected)|extra (?:inputs|fields)|instead|deprecated|"
    r"not (?:supported|permitted|allowed|a valid param)",
    re.IGNORECASE,
)
_WINDOW = re.compile(r"context|input|prompt|messages|total|sequence|\bctx\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.-])(?:\d{1,3}(?:[,_]\d{3})+(?!\d)|\d+(?:\.\d+)?)(?![\w-])|(?<=\.\.)\d+(?:\.\d+)?")
_COLDEST = 0.01
_SMALLEST_OUTPUT = 16
_SMALLEST_WINDOW = 256


def named_remedies(request: ChatRequest, wording: Wording, complaint: Complaint) -> list[Wording]:
    """Return the wordings that answer to what a complaint names, the likeliest first; none if it names nothing.

    Args:
        request: the refused request.
        wording: how it was worded.
        complaint: what the endpoint says.
    """
    found: list[Wording] = []
    for feature in _named(wording, complaint):
        if feature == "max_tokens":
            found += _for_tokens(request, wording, complaint.message)
        elif feature == "temperature":
            found += [replace(wording, temperature=t) for t in _temperatures(wording.temperature, complaint.message)]
            found.append(wording.without("temperature", request))
        elif feature == "n":
            fewer = [int(x) for x in _numbers(complaint.message) if 1 < x < wording.n]
            found += [replace(wording, n=count) for count in sorted(set(fewer), reverse=True)]
            found.append(wording.without("n", request))
        else:
            found.append(wording.without(feature, request))
    return found


def guesses(request: ChatRequest, wording: Wording, dialect: Dialect) -> list[Wording]:
    """Return the wordings to try when a complaint names nothing: without what was never seen to work.

    One feature at a time is left out first, so that none is given up without need, then more and more of them.
    """
    untried = [f for f in _FALLBACK_ORDER if f in wording.features and dialect.takes(f) is None]
    found = [wording.without(feature, request) for feature in untried]
    rest = wording
    for feature in untried:
        rest = rest.without(feature, request)
        if feature == "json_schema":
            rest = rest.without("json_mode", request)
        found.append(rest)
    if wording.max_tokens > max(256, dialect.most_tokens_seen):
        found += [replace(wording, max_tokens=wording.max_tokens // by) for by in (4, 16)]
    return found


def _named(wording: Wording, complaint: Complaint) -> list[Feature]:
    """The features of a wording that a complaint is about."""
    param = complaint.param.removeprefix("body.")
    candidates = [(f, p) for f, p in _SPOKEN if f in wording.features or f == "max_tokens"]
    named: list[Feature] = [f for f, pattern in candidates if param == f or (param and pattern.search(param))]
    if not named:
        named = [f for f, pattern in candidates if pattern.search(complaint.message)]
    roles: tuple[Feature, ...] = ("any_order", "system")
    if complaint.about_roles and (not named or param.startswith("messages")):
        named += [f for f in roles if f in wording.features]
    return named


def _for_tokens(request: ChatRequest, wording: Wording, words: str) -> list[Wording]:
    """Other limits of output tokens, and the other name of the limit."""
    asked = wording.max_tokens
    renamed = [wording.without("max_tokens", request)] if "max_tokens" in wording.features else []
    numbers = [int(x) for x in _numbers(words)]
    limits: list[Wording] = []
    if re.search(r"minimum|at least|>=|greater|below", words):
        limits += [
            replace(wording, max_tokens=x) for x in sorted({x for x in numbers if asked < x <= _SMALLEST_WINDOW})
        ]
    lower = sorted({x for x in numbers if _SMALLEST_OUTPUT <= x < asked}, reverse=True)
    caps = [replace(wording, max_tokens=x) for limit in lower for x in (limit, limit - 1)]
    if _WINDOW.search(words):
        sums = _windows(asked, numbers)
        if not sums:  # the message does not count the prompt
            limits, caps = limits + caps[:1], caps[1:]
            sums = [(x, likely_prompt(request)) for x in numbers if x >= _SMALLEST_WINDOW]
        for window, prompt in sums:
            # Beside the room that the numbers leave a little less, for servers that count the prompt otherwise.
            rooms = [r for r in (window - prompt, window - prompt - 16, (window - prompt) * 3 // 4) if 0 < r < asked]
            limits += [replace(wording, max_tokens=r, window=window) for r in rooms]
    limits += caps
    if not limits:
        if numbers.count(asked) > 1:  # a bound that is left out
            limits.append(replace(wording, max_tokens=asked - 1))
        half = asked // 2
        while half >= _SMALLEST_OUTPUT:
            limits.append(replace(wording, max_tokens=half))
            half //= 2
    return [*renamed, *limits] if _UNKNOWN.search(words) else [*limits, *renamed]


def _windows(asked: int, numbers: list[int]) -> list[tuple[int, int]]:
    """The context window and the tokens of the prompt, in the ways in which the numbers of a message can be read."""
    rest = {x for x in numbers if x != asked}
    named = sorted((x for x in rest if x - asked not in rest), reverse=True)  # without the sum that was asked for
    found = [(named[0], named[1])] if len(named) > 1 and named[0] >= _SMALLEST_WINDOW else []
    if numbers.count(asked) > 1:  # as much was asked for as the whole window holds
        found += [(asked, x) for x in named[-1:] if x < asked]
    return found


def _temperatures(asked: float, words: str) -> list[float]:
    """Temperatures that a message leaves, the nearest first."""
    numbers = set(_numbers(words))
    found = {x for x in numbers if x != asked and 0 <= x <= 2}
    if asked > 1:
        found = {x for x in found if 1 <= x < asked} | {1.0}
        if asked in numbers:  # perhaps a bound that is left out
            found.add(round(asked - _COLDEST, 6))
    elif asked == 0:
        found = {x for x in found if 0 < x <= 1} | {_COLDEST}
    return sorted(found, key=lambda x: abs(x - asked))[:3]


def _numbers(words: str) -> Iterable[float]:
    return [float(re.sub("[,_]", "", x)) for x in _NUMBER.findall(words)]
