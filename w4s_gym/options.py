"""Configurations made of plain fields, as `gym.make` hands them on."""

from __future__ import annotations

import json
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, TypeVar

from w4s_gym.errors import ConfigError

T = TypeVar("T")


def from_fields(default: T, given: dict[str, Any] | None, name: str) -> T:
    """Return `default` with the given fields replaced; fields that hold a dataclass take a dict of theirs.

    Args:
        default: a dataclass instance.
        given: field name -> value.
        name: name of the option, for messages.

    Raises:
        ConfigError: an unknown field, or a value that the dataclass refuses.
    """
    assert is_dataclass(default) and not isinstance(default, type)
    known: dict[str, Field[Any]] = {field.name: field for field in fields(default)}
    values: dict[str, Any] = {}
    for key, value in (given or {}).items():
        if key not in known:
            raise ConfigError(f"{name}: {key!r} is no field; known fields: {', '.join(known)}")
        current = getattr(default, key)
        nested = is_dataclass(current) and isinstance(value, dict)
        values[key] = from_fields(current, value, f"{name}.{key}") if nested else value
    return replace(default, **values)


def json_object(name: str, text: str) -> dict[str, Any]:
    """Read an option that holds a JSON object.

    Raises:
        ConfigError: it does not.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"expected {name} to be JSON; got {text!r}: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"expected {name} to be a JSON object; got {text!r}")
    return value
