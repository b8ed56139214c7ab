"""Other defaults of a command, from a YAML file."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import tyro

from w4s_gym.errors import ConfigError
from w4s_gym.options import refuse_unknown

C = TypeVar("C")
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read_config(kind: type[C], path: Path) -> C:
    """Read a configuration from a YAML file.

    Args:
        kind: a dataclass; fields without a default that the file does not name stay for the command line to give.
        path: a mapping of some of its fields; lists become tuples.

    Raises:
        ConfigError: the file is missing or no YAML mapping, or has a key that `kind` does not know.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise ConfigError("--config needs PyYAML; install it with `pip install 'w4s-gym[experiments]'`") from error
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"expected a YAML file at {path}: {error}") from error
    every = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    known = [name for name in every if name != "given"]
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a mapping with some of the keys {', '.join(known)}")
    refuse_unknown(values, known, str(path), "keys")
    required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]  # type: ignore[arg-type]
    given = {key: _plain(value) for key, value in values.items()}
    if "given" in every:
        given["given"] = frozenset(values)
    return kind(**{**dict.fromkeys(required, tyro.MISSING), **given})


def _plain(value: Any) -> Any:
    """Read `2e-5` as a number: YAML 1.1 takes it for a text, since it has no dot."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return tuple(_plain(inner) for inner in value)
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value
