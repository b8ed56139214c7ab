"""Configurations made of plain fields, as `gym.make`, JSON files and command lines hand them on."""

from __future__ import annotations

import difflib
import json
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass, replace
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from w4s_gym.errors import ConfigError

T = TypeVar("T")


def from_fields(default: T, given: Mapping[str, Any] | None, name: str) -> T:
    """Return `default` with the given fields replaced; fields that hold a dataclass take an object of theirs.

    Lists are taken for tuples, which JSON does not have; nothing else is converted.

    Args:
        default: a dataclass instance.
        given: field name -> value; None is empty.
        name: name of the option, for messages.

    Raises:
        ConfigError: not an object, an unknown field, a value of the wrong type, or one that the dataclass refuses.

    Example:
        >>> from w4s_gym.racing import RacingRule
        >>> from_fields(RacingRule(), {"look_every": 8}, "racing")
        RacingRule(look_every=8, limit=0.005, prior=2.0, archive=10)
        >>> from_fields(RacingRule(), {"prio": 1.0}, "race")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        w4s_gym.errors.ConfigError: race: unknown 'prio', did you mean 'prior'? known fields: look_every, ...
    """
    assert is_dataclass(default) and not isinstance(default, type)
    if given is None:
        return default
    if not isinstance(given, Mapping):
        raise ConfigError(f"{name}: expected an object with some of its fields; got {given!r:.200}")
    known: dict[str, Field[Any]] = {field.name: field for field in fields(default)}
    refuse_unknown(given, known, name)
    hints = _hints(type(default))
    values: dict[str, Any] = {}
    for key, value in given.items():
        inner = _inner(getattr(default, key), hints[key])
        if inner is not None and (isinstance(value, Mapping) or not _fits(value, hints[key])):
            values[key] = from_fields(inner, value, f"{name}.{key}")
        else:
            values[key] = checked(value, hints[key], f"{name}.{key}")
    return replace(default, **values)


def refuse_unknown(given: Iterable[str], known: Iterable[str], name: str, what: str = "fields") -> None:
    """Refuse keys that are not known, and say which known ones are near.

    Raises:
        ConfigError: a key is not known.
    """
    known = list(known)
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{name}: unknown {key!r}{near(key, known, ', ') or ';'} known {what}: {', '.join(known) or 'none'}"
            )


def near(name: str, known: Iterable[str], before: str = "; ") -> str:
    """Ask whether a known name was meant; nothing if none is near.

    >>> near("rla", ["rlao", "sft"])
    "; did you mean 'rlao'?"
    """
    found = difflib.get_close_matches(str(name), list(known), n=3)
    return f"{before}did you mean {' or '.join(map(repr, found))}?" if found else ""


def checked(value: Any, hint: Any, name: str) -> Any:
    """Return a value if it has the type of an annotation; a list becomes a tuple where that is wanted.

    Whole numbers are fine for `float`, true and false are no numbers, and no number may be infinite or NaN.

    Args:
        value: plain data.
        hint: `int`, `str`, `Literal[...]`, `tuple[str, ...]`, a union of such, ...; anything else accepts any value.
        name: what the value is for, for the message.

    Raises:
        ConfigError: the value has another type.
    """
    if isinstance(value, list) and not _fits(value, hint) and _fits(tuple(value), hint):
        value = tuple(value)
    if not _fits(value, hint):
        raise ConfigError(f"{name}: expected {_words(hint)}; got {value!r:.200}")
    return value


def whole_number(value: Any, least: int, name: str) -> int:
    """Return a value if it is a whole number of at least `least`.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"expected {name} to be a whole number of at least {least}; got {value!r:.200}")
    return value


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


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _inner(current: Any, hint: Any) -> Any:
    """The dataclass that a field holds, or may hold (then made without arguments); None if there is none."""
    if is_dataclass(current):
        return current
    kinds = [kind for kind in get_args(hint) if isinstance(kind, type) and is_dataclass(kind)]
    return kinds[0]() if kinds else None


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(type(value) is type(argument) and value == argument for argument in arguments)
    if origin is tuple:
        kinds = arguments[:1] * len(value) if isinstance(value, tuple) and arguments[1:] == (...,) else arguments
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if origin in (list, Sequence):
        return isinstance(value, list | tuple) and all(_fits(v, arguments[0]) for v in value)
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            _fits(k, arguments[0]) and _fits(v, arguments[1]) for k, v in value.items()
        )
    if hint is None or hint is types.NoneType:
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    kind = origin or hint
    return not isinstance(kind, type) or isinstance(value, kind)


_ONE: dict[Any, str] = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", Any: "anything"}
_MANY: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "texts", bool: "true or false", Any: "anything"}


def _words(hint: Any) -> str:
    """An annotation in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(argument) for argument in arguments)
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (tuple, list, Sequence):
        return f"a list of {_MANY.get(arguments[0], _words(arguments[0]))}"
    if origin in (dict, Mapping):
        return f"an object of {_MANY.get(arguments[1], _words(arguments[1]))}"
    if hint is None or hint is types.NoneType:
        return "None"
    return _ONE.get(hint, getattr(hint, "__name__", str(hint)))
