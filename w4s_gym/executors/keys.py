"""API keys: where they come from, and how they are kept out of everything that is written."""

from __future__ import annotations

import os
from pathlib import Path

from w4s_gym.errors import ConfigError
from w4s_gym.executors.config import EndpointConfig
from w4s_gym.paths import user_path

_SHORTEST_SECRET = 8
_secrets: set[str] = set()


def env_file() -> Path:
    """Return the file that may hold keys: `W4S_ENV_FILE`, else `~/.config/w4s-gym/.env`."""
    return user_path(os.environ.get("W4S_ENV_FILE") or "~/.config/w4s-gym/.env")


def find_key(config: EndpointConfig) -> str | None:
    """Return the key of an endpoint, from the environment or from the key file; None if it needs none.

    Raises:
        ConfigError: the key is missing or cannot be sent; or the key file lies inside a git repository.
    """
    if config.key_env == "":
        return None
    name = config.key_env or ("AZURE_OPENAI_API_KEY" if config.azure_endpoint else "OPENAI_API_KEY")
    written = os.environ.get(name) or _read_env_file().get(name) or ""
    hide(written)
    key = _clean(written)
    hide(key)
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"the API key in {name} cannot be sent: expected printable ASCII characters without spaces; it holds "
            "others (line breaks, typographic quotes, a name in front?). Copy it again"
        )
    if key:
        return key
    if config.key_env is None and not config.azure_endpoint and (config.base_url or os.environ.get("OPENAI_BASE_URL")):
        return None
    raise ConfigError(
        f"no API key: expected the environment variable {name}, or a line {name}=... in {env_file()} "
        f"(another file: set W4S_ENV_FILE; another variable: set key_env in the executor's config)"
    )


def hide(secret: str) -> None:
    """Make `redact` replace this text from now on."""
    if len(secret) >= _SHORTEST_SECRET:
        _secrets.add(secret)


def redact(text: str) -> str:
    """Return `text` with every known key replaced."""
    for secret in _secrets:
        text = text.replace(secret, "[key]")
    return text


def _clean(key: str) -> str:
    """A key without what is often pasted along: white space, quotes, the name of the scheme."""
    return key.strip("\ufeff\u200b \t\r\n").strip("\"'").removeprefix("Bearer ").strip()


def _read_env_file() -> dict[str, str | None]:
    path = env_file()
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    repository = next((parent for parent in path.resolve().parents if (parent / ".git").exists()), None)
    if repository is not None:
        raise ConfigError(
            f"{path} lies inside the git repository {repository}: keys there get committed sooner or later. "
            "Move the file and set W4S_ENV_FILE to its new place"
        )
    return dotenv_values(path, encoding="utf-8-sig")
