"""What an endpoint takes, found out by trying and remembered; requests are worded accordingly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from w4s_gym.executors.base import ChatRequest, most_tokens
from w4s_gym.options import refuse_unknown
from w4s_gym.roles import is_strict

Feature = Literal["n", "seed", "json_schema", "json_mode", "temperature", "max_tokens", "any_order", "system"]
"""Parts of a request that some servers refuse. Refused means for `max_tokens`: it is called `max_completion_tokens`;
for `any_order`: user and assistant must take turns, the system message in front; for `system`: there is no such role,
and its text goes into the first user message."""

_ABOUT_ALL = ("any_order", "system")
_KINDS_KEPT = 1_000
_ORDINARY_TOKENS = 4_096
_SMALLEST_OUTPUT = 16
MOST_SAMPLES = 64
"""Most samples of one exchange."""


@dataclass(frozen=True)
class Wording:
    """How a request is put to the endpoint."""

    features: frozenset[Feature]
    n: int
    max_tokens: int
    temperature: float
    window: int | None = None
    """Size of the context window (tokens) that `max_tokens` was lowered for."""

    def without(self, feature: Feature, request: ChatRequest) -> Wording:
        """Return the wording without a feature; in place of a JSON schema JSON mode is asked for."""
        left = self.features - {feature}
        if feature == "json_schema":
            left |= {"json_mode"}
        return replace(self, features=left, n=1 if feature == "n" else self.n)


class Dialect:
    """Knows for each feature whether the endpoint takes it (yes, no, or not tried yet), and which values it takes.

    A refusal may be the request's own fault, for instance because of a thousand strange keys. So it teaches only about
    requests of the same kind; only an ordinary request, which brings nothing but its text, teaches about all. A value
    that is refused is no feature that is refused: of temperature, samples and output tokens the range is learnt, never
    against what was seen to work.
    """

    def __init__(self, known: Mapping[str, bool], window: int | None = None) -> None:
        """Start from what the user's config says.

        Args:
            known: feature -> whether the endpoint takes it.
            window: prompt plus completion tokens that fit.

        Raises:
            ConfigError: a name that is no feature.
        """
        names: tuple[Feature, ...] = get_args(Feature)
        refuse_unknown(known, names, "executor config.capabilities", "features")
        self._takes: dict[Feature, bool] = {f: known[f] for f in names if f in known}
        self._refused: dict[bytes, set[Feature]] = {}
        self._window = window
        self._found_window: int | None = None
        self._overhead = 0
        """Tokens that the endpoint counts beside the likely size of a prompt, at most."""
        self._most = {"n": float(MOST_SAMPLES), "max_tokens": float("inf"), "temperature": float("inf")}
        self._least = {"temperature": 0.0, "max_tokens": 1.0}
        self._seen: dict[str, tuple[float, float]] = {}
        """Smallest and largest value that was seen to work."""

    def takes(self, feature: Feature) -> bool | None:
        """Return whether the endpoint takes the feature from all requests; None when that is not known."""
        return self._takes.get(feature)

    def most_samples(self) -> int:
        """Return how many samples one exchange may bring, as far as is known."""
        return 1 if self.takes("n") is False else int(self._most["n"])

    @property
    def most_tokens_seen(self) -> int:
        """The largest limit of output tokens that was seen to work."""
        return int(self._seen.get("max_tokens", (0, 0))[1])

    def wording(self, request: ChatRequest) -> Wording:
        """Word a request as the endpoint is known to take it."""
        tokens = request.max_tokens
        if self._window is not None:
            prompt = most_tokens(request) - request.max_tokens
            tokens = max(_SMALLEST_OUTPUT, min(tokens, self._window - prompt))
        if self._found_window is not None:
            # A likely size of the prompt, so that no room is given away; where it is too small, the endpoint says so.
            tokens = max(_SMALLEST_OUTPUT, min(tokens, self._found_window - likely_prompt(request) - self._overhead))
        tokens = int(max(min(tokens, self._most["max_tokens"]), self._least["max_tokens"]))
        temperature = max(min(request.temperature, self._most["temperature"]), self._least["temperature"])
        features = self.features(request)
        samples = min(request.n, self.most_samples()) if "n" in features else 1
        return Wording(features, samples, tokens, temperature)

    def features(self, request: ChatRequest) -> frozenset[Feature]:
        """Return the features to use for a request: those it has a use for and the endpoint is not known to refuse."""
        useful: set[Feature] = {"seed", "temperature", "max_tokens"}
        if request.n > 1:
            useful.add("n")
        if request.json_keys:
            useful.add("json_schema")
        if request.json_mode or request.json_keys:
            useful.add("json_mode")
        if not is_strict(request.messages):
            useful.add("any_order")
        if any(m.get("role") == "system" for m in request.messages):
            useful.add("system")
        refused = self._refused.get(_kind(request), set())
        chosen = {f for f in useful if f not in refused and self._takes.get(f) is not False}
        if "json_schema" in chosen:
            chosen.discard("json_mode")  # the second choice
        return frozenset(chosen)

    def learn(self, request: ChatRequest, first: Wording, answered: Wording) -> None:
        """Note that a request was refused as it was worded `first` and then answered in another wording, or in that."""
        for feature in answered.features:
            self._takes[feature] = True
        lost = first.features - answered.features
        if "json_schema" in lost and "json_mode" not in answered.features:
            lost |= {"json_mode"}  # it was tried in place of the schema
        for feature in lost:
            self.refuse(request, feature)
        for name in ("n", "max_tokens", "temperature"):
            if name != "max_tokens" and name not in answered.features:
                continue
            was, is_ = getattr(first, name), getattr(answered, name)
            low, high = self._seen.get(name, (is_, is_))
            self._seen[name] = low, high = min(low, is_), max(high, is_)
            if was > is_ and name == "max_tokens" and answered.window is not None:
                self._found_window = answered.window
                self._overhead = max(self._overhead, answered.window - is_ - likely_prompt(request))
            elif was > is_ and high < was and (name != "max_tokens" or not was > _ORDINARY_TOKENS > is_):
                self._most[name] = high
            elif was < is_ and low > was:
                self._least[name] = low

    def refuse(self, request: ChatRequest, feature: Feature) -> None:
        """Note that the endpoint refuses a feature of such a request, or ignores it in silence."""
        if feature in _ABOUT_ALL or _is_ordinary(request):
            self._takes.setdefault(feature, False)
            return
        if len(self._refused) >= _KINDS_KEPT:
            del self._refused[next(iter(self._refused))]
        self._refused.setdefault(_kind(request), set()).add(feature)


def likely_prompt(request: ChatRequest) -> int:
    """Return about how many tokens a prompt has: one per 4 bytes."""
    return (most_tokens(request) - request.max_tokens) * 3 // 4


def _is_ordinary(request: ChatRequest) -> bool:
    """Tell whether a workflow put nothing into a request that an endpoint could take offence at but its text."""
    plain = request.n == 1 and not request.json_keys and not request.json_mode and not request.tools
    return plain and request.temperature <= 1.0 and request.max_tokens <= _ORDINARY_TOKENS


def _kind(request: ChatRequest) -> bytes:
    """Digest of what a request asks for besides its text."""
    tools = [dict(tool) for tool in request.tools]
    parts = [request.n, request.json_keys, request.json_mode, tools, request.temperature, request.max_tokens]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).digest()
