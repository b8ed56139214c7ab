"""Configuration of an endpoint: one plain-JSON mapping, checked key by key."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from w4s_gym.errors import ConfigError

OPENAI_URL = "https://api.openai.com/v1"
_ROUTES = ("/chat/completions", "/completions")


@dataclass(frozen=True)
class EndpointConfig:
    """How to reach a model. All values are plain JSON data; no key is ever part of it."""

    base_url: str | None = None
    """URL in front of `/chat/completions`; default: the variable `OPENAI_BASE_URL`, else OpenAI's."""
    key_env: str | None = None
    """Variable that holds the key; default `OPENAI_API_KEY` (Azure: `AZURE_OPENAI_API_KEY`). An empty string says that
    the endpoint needs no key. With a `base_url` and no `key_env`, a missing key is taken for "needs none"."""
    azure_endpoint: str | None = None
    """Azure resource (`https://<name>.openai.azure.com`); the model is then the name of the deployment."""
    azure_api_version: str | None = None
    """API version that Azure demands."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request body, for instance `{"reasoning_effort": "low"}`."""
    price: Mapping[str, float] | None = None
    """US dollars per million tokens: `{"input": ..., "output": ..., "cached_input": ...}` (the last is optional).
    Default: the price list of the package genai-prices."""
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    """What the endpoint is known to support or to refuse; whatever is not named is found out by trying."""
    context_window: int | None = None
    """Prompt plus completion tokens that fit; replies that end there are complete as far as the server goes."""
    attempt_seconds: float = 180.0
    """Deadline of one HTTP exchange."""
    call_seconds: float = 900.0
    """Deadline of a call with all its retries, counted from its first attempt."""
    attempts: int = 8
    """Most HTTP exchanges for one answer."""
    backoff_seconds: float = 0.5
    """Scale of the random exponential pause between attempts."""
    reasks: int = 3
    """How often a reply that the server spoilt (empty, cut short, not the promised JSON) is asked for again."""
    concurrency: int = 64
    """Most exchanges in flight at once; the pool finds out how many the endpoint takes."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        if "api_key" in self.extra:
            raise ConfigError("executor config: put the key into an environment variable and its name into key_env")
        if self.azure_endpoint and not self.azure_api_version:
            raise ConfigError("executor config: azure_endpoint needs azure_api_version, for instance '2024-10-21'")
        for name in ("base_url", "azure_endpoint"):
            if getattr(self, name):
                clean_url(getattr(self, name), f"executor config: {name}")
        if self.azure_endpoint and self.base_url:
            raise ConfigError("executor config: expected base_url or azure_endpoint, got both")
        for name in ("attempt_seconds", "call_seconds", "attempts", "concurrency"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"executor config: expected {name} > 0; got {getattr(self, name)!r}")
        if self.price is not None and not {"input", "output"} <= set(self.price) <= {"input", "output", "cached_input"}:
            raise ConfigError(
                'executor config: expected price {"input": $ per million tokens, "output": ..., "cached_input": ...}; '
                f"got {dict(self.price)!r}"
            )

    @property
    def url(self) -> str:
        """The URL that requests go to.

        Raises:
            ConfigError: the variable `OPENAI_BASE_URL` holds no URL.
        """
        for name in ("azure_endpoint", "base_url"):
            if getattr(self, name):
                return clean_url(getattr(self, name), f"executor config: {name}")
        variable = os.environ.get("OPENAI_BASE_URL", "").strip()
        return clean_url(variable, "the variable OPENAI_BASE_URL") if variable else OPENAI_URL

    @property
    def endpoint(self) -> str:
        """The URL without what may be secret (user, password, query): safe for names, logs and cache keys."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{host}{port}{parts.path}".rstrip("/")


def clean_url(text: str, name: str) -> str:
    """Return a base URL without what is often pasted along: white space, quotes, a route, slashes at the end.

    Args:
        text: as the user wrote it.
        name: where it comes from, for the message.

    Raises:
        ConfigError: it is no URL of a server.
    """
    url = text.strip().strip("\"'").strip().rstrip("/")
    for route in _ROUTES:
        url = url.removesuffix(route)
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        whole = False
    if not whole or any(character.isspace() for character in url):
        near = f"; did you mean 'http://{url}'?" if re.fullmatch(r"[\w.-]+(:\d+)?(/\S*)?", url) else ""
        raise ConfigError(f"{name}: expected a URL such as 'http://localhost:8000/v1'; got {text!r:.200}{near}")
    return url


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine itself; no proxy can be of use then."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")
