"""What an endpoint supports, found out by trying and remembered; request bodies are written accordingly."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from w4s_gym.executors.base import ChatRequest
from w4s_gym.options import refuse_unknown

Feature = Literal["n", "seed", "json_schema", "json_mode", "temperature", "max_tokens"]
"""Parts of a request that some servers refuse. `max_tokens` refused means: it is called `max_completion_tokens`."""

_SPOKEN: dict[Feature, re.Pattern[str]] = {
    "n": re.compile(r"""['"`]n['"`]|\bn\s*(?:=|>|must|should)|\bn is\b|multiple (?:choices|completions)"""),
    "seed": re.compile(r"\bseed\b"),
    "json_schema": re.compile(r"json_schema|response_format|\bschema\b"),
    "json_mode": re.compile(r"json_object|response_format|json mode", re.IGNORECASE),
    "temperature": re.compile(r"\btemperature\b"),
    "max_tokens": re.compile(r"\bmax_tokens\b"),
}
_FALLBACK_ORDER: tuple[Feature, ...] = ("json_schema", "json_mode", "n", "seed", "max_tokens", "temperature")


_KINDS_KEPT = 1_000
_ORDINARY_TOKENS = 4_096


class Dialect:
    """Knows for each feature whether the endpoint takes it: yes, no, or not tried yet.

    A refusal may be the request's own fault, for instance because of a thousand strange keys. So it teaches only about
    requests of the same kind; only an ordinary request, which brings nothing but its text, teaches about all.
    """

    def __init__(self, known: Mapping[str, bool]) -> None:
        """Start from what the user's config says.

        Raises:
            ConfigError: a name that is no feature.
        """
        refuse_unknown(known, _SPOKEN, "executor config.capabilities", "features")
        self._takes: dict[Feature, bool] = {f: known[f] for f in _SPOKEN if f in known}
        self._refused: dict[bytes, set[Feature]] = {}

    def takes(self, feature: Feature) -> bool | None:
        """Return whether the endpoint takes the feature from all requests; None when that is not known."""
        return self._takes.get(feature)

    def features(self, request: ChatRequest, without: frozenset[Feature] = frozenset()) -> frozenset[Feature]:
        """Return the features to use for a request: those it has a use for and the endpoint is not known to refuse."""
        useful: set[Feature] = {"seed", "temperature", "max_tokens"}
        if request.n > 1:
            useful.add("n")
        if request.json_keys:
            useful.add("json_schema")
        if request.json_mode or request.json_keys:
            useful.add("json_mode")
        refused = self._refused.get(_kind(request), set())
        chosen = {f for f in useful if f not in without and f not in refused and self._takes.get(f) is not False}
        if "json_schema" in chosen:
            chosen.discard("json_mode")  # the second choice
        return frozenset(chosen)

    def next_to_drop(self, used: frozenset[Feature], complaint: str) -> Feature | None:
        """Choose which feature to leave out after the endpoint refused a request with the status 400 or 422.

        Args:
            used: features of the refused request.
            complaint: the endpoint's message.

        Returns:
            A feature that the message names, else one that was never seen to work; None if the request itself is wrong.
        """
        candidates = [f for f in _FALLBACK_ORDER if f in used]
        named = [f for f in candidates if _SPOKEN[f].search(complaint)]
        untried = [f for f in candidates if f not in self._takes]
        return next(iter(named or untried), None)

    def learn(self, request: ChatRequest, used: frozenset[Feature], dropped: frozenset[Feature]) -> None:
        """Note that a request with `used` features worked after `dropped` ones were left out."""
        for feature in used:
            self._takes[feature] = True
        for feature in dropped:
            self.refuse(request, feature)

    def refuse(self, request: ChatRequest, feature: Feature) -> None:
        """Note that the endpoint refuses a feature of such a request, or ignores it in silence."""
        if _is_ordinary(request):
            self._takes.setdefault(feature, False)
            return
        if len(self._refused) >= _KINDS_KEPT:
            del self._refused[next(iter(self._refused))]
        self._refused.setdefault(_kind(request), set()).add(feature)


def _is_ordinary(request: ChatRequest) -> bool:
    """Tell whether a workflow put nothing into a request that an endpoint could take offence at but its text."""
    plain = request.n == 1 and not request.json_keys and not request.json_mode and not request.tools
    return plain and request.temperature <= 1.0 and request.max_tokens <= _ORDINARY_TOKENS


def _kind(request: ChatRequest) -> bytes:
    """Digest of what a request asks for besides its text."""
    tools = [dict(tool) for tool in request.tools]
    parts = [request.n, request.json_keys, request.json_mode, tools, request.temperature, request.max_tokens]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).digest()


def body(request: ChatRequest, features: frozenset[Feature], seed: int) -> dict[str, Any]:
    """Write the request's part of the body of `POST /chat/completions`."""
    written: dict[str, Any] = {"messages": _messages(request, features)}
    written["max_tokens" if "max_tokens" in features else "max_completion_tokens"] = request.max_tokens
    if "temperature" in features:
        written["temperature"] = request.temperature
    if "n" in features:
        written["n"] = request.n
    if "seed" in features:
        written["seed"] = seed
    if "json_schema" in features:
        written["response_format"] = {"type": "json_schema", "json_schema": _schema(request.json_keys)}
    elif "json_mode" in features:
        written["response_format"] = {"type": "json_object"}
    if request.tools:
        written["tools"] = [dict(tool) for tool in request.tools]
        if request.tool_choice is not None:
            written["tool_choice"] = request.tool_choice
    return written


def sample_seed(request: ChatRequest, sample_index: int, reask: int) -> int:
    """Return the seed of a sample, a function of prompt, draw, sample index and number of re-asks; 31 bits."""
    text = json.dumps([[dict(m) for m in request.messages], request.draw, sample_index, reask], sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def _messages(request: ChatRequest, features: frozenset[Feature]) -> list[dict[str, str]]:
    messages = [dict(m) for m in request.messages]
    if "json_mode" in features and not any("json" in m.get("content", "").lower() for m in messages):
        # OpenAI's JSON mode is refused unless some message says "JSON".
        messages.append({"role": "system", "content": "Reply with one JSON object."})
    return messages


def _schema(keys: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": "reply",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {key: {"type": "string"} for key in keys},
            "required": list(keys),
            "additionalProperties": False,
        },
    }
