from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.errors import ConfigError
from w4s_gym.evaluation import EvaluationLimits
from w4s_gym.options import checked, from_fields, json_object


@dataclass(frozen=True)
class Inner:
    size: int = 1


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    maybe: Inner | None = None
    ratio: float = 0.5
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ()
    note: str | None = None
    on: bool = True

    def __post_init__(self) -> None:
        if self.ratio > 1:
            raise ConfigError(f"ratio too large: {self.ratio}")


def test_fields_are_replaced_at_any_depth():
    read = from_fields(Outer(), {"inner": {"size": 3}, "maybe": {"size": 4}, "ratio": 1, "names": ["x", "y"]}, "it")
    assert read == Outer(Inner(3), Inner(4), 1, names=("x", "y"))
    assert from_fields(Outer(), {"maybe": {}}, "it").maybe == Inner()
    assert from_fields(Outer(maybe=Inner(2)), {"maybe": None}, "it").maybe is None
    assert from_fields(Outer(), {"inner": Inner(7)}, "it").inner == Inner(7)
    assert from_fields(Outer(), None, "it") == Outer()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rato": 1.0}, "it: unknown 'rato', did you mean 'ratio'"),
        ({"zzz": 1.0}, "unknown 'zzz'; known fields: inner, maybe, ratio"),
        ({"inner": {"sise": 1}}, r"it\.inner: unknown 'sise', did you mean 'size'"),
        ({"inner": {"size": True}}, r"it\.inner\.size: expected a whole number; got True"),
        ({"inner": {"size": 1.0}}, "a whole number; got 1.0"),
        ({"inner": 3}, "expected an object with some of its fields; got 3"),
        ({"maybe": "x"}, "expected an object"),
        ({"ratio": "0.5"}, "a number; got '0.5'"),
        ({"ratio": float("nan")}, "a number; got nan"),
        ({"ratio": float("inf")}, "a number; got inf"),
        ({"ratio": 2}, "ratio too large"),
        ({"kind": "c"}, "one of 'a', 'b'; got 'c'"),
        ({"names": "xy"}, "a list of texts; got 'xy'"),
        ({"names": ["x", 1]}, "a list of texts"),
        ({"note": 1}, "a text or None"),
        ({"on": "yes"}, "true or false"),
        ("text", "expected an object"),
        ([("ratio", 1)], "expected an object"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(given, words):
    with pytest.raises(ConfigError, match=words):
        from_fields(Outer(), given, "it")


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        ((1, 2), tuple[int, int], True),
        ([1, 2], int | tuple[int, int], True),
        ([1, 2, 3], tuple[int, int], False),
        ({"a": 1}, Mapping[str, float], True),
        ({"a": "b"}, Mapping[str, float], False),
        ({"a": object}, Mapping[str, Any], True),
        (["de"], str | Sequence[str], True),
        (3, str | Sequence[str], False),
        (Path("x"), str | PathLike[str] | None, True),
        (3, str | PathLike[str] | None, False),
    ],
)
def test_values_are_held_against_annotations(value, hint, fits):
    if fits:
        assert checked(value, hint, "it") == (tuple(value) if value == [1, 2] else value)
    else:
        with pytest.raises(ConfigError, match="it: expected"):
            checked(value, hint, "it")


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@given(st.dictionaries(st.sampled_from([f.name for f in fields(EvaluationLimits)]) | st.text(max_size=3), PLAIN))
def test_any_plain_data_is_read_or_refused_with_a_config_error(data):
    try:
        read = from_fields(EvaluationLimits(), data, "limits")
    except ConfigError:
        return
    for name in ("coverage", "probe", "deadline_seconds", "in_flight"):
        value = getattr(read, name)
        assert value == data.get(name, getattr(EvaluationLimits(), name)) and not isinstance(value, bool)


def test_json_objects_only():
    assert json_object("--x", '{"a": 1}') == {"a": 1}
    for text in ("", "[1]", "{a}"):
        with pytest.raises(ConfigError, match="--x"):
            json_object("--x", text)
