"""Configurations from the command line, with other defaults from a YAML file."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import tyro

from w4s_gym.errors import ConfigError

C = TypeVar("C")
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read_config(kind: type[C], path: Path) -> C:
    """Read a configuration from a YAML file; options given as mappings become JSON.

    Raises:
        ConfigError: the file is missing or no YAML mapping, or has a key that `kind` does not know.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"expected a YAML file at {path}: {error}") from error
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, dict) or not set(values) <= known:
        raise ConfigError(f"{path}: expected a mapping with some of the keys {', '.join(sorted(known))}")
    plain = {key: json.dumps(_numbers(value)) if isinstance(value, dict) else value for key, value in values.items()}
    return kind(**plain)


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Read `2e-5` as a number: YAML 1.1 takes it for a text, since it has no dot."""
    return {k: float(v) if isinstance(v, str) and _EXPONENT.fullmatch(v) else v for k, v in values.items()}


def command_line(kind: type[C], description: str) -> C:
    """Make a configuration from the command line; `--config <file>` in front sets other defaults."""
    arguments = sys.argv[1:]
    default = None
    if arguments[:1] == ["--config"]:
        if len(arguments) < 2:
            raise ConfigError("expected a file after --config")
        default, arguments = read_config(kind, Path(arguments[1])), arguments[2:]
    return tyro.cli(kind, args=arguments, default=default, description=description)
