"""Plain typed data on the wire between a candidate program and the tests: exact types, never pickle.

JSON scalars stand for themselves; everything else is a list that starts with a tag. Within one call both sides number
the mutable containers they meet in the same order, so that a container that travels twice keeps its identity, cycles
work, and changes a callee made to its arguments can be sent back.
"""

from __future__ import annotations

import math
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

_MAPPINGS: dict[str, type] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter, "defaultdict": defaultdict}
_SEQUENCES: dict[str, type] = {"list": list, "deque": deque}
_DATES: dict[str, Any] = {"date": date, "datetime": datetime, "time": time}
_CONTAINERS = (list, dict, set, bytearray, deque)


class Table:
    """The mutable containers of one call, in the order both sides met them."""

    def __init__(self) -> None:
        """Start empty."""
        self.items: list[Any] = []
        self.index: dict[int, int] = {}

    def add(self, container: Any) -> None:
        """Give the next number to a container (and keep it alive, so that its id stays its own)."""
        self.index[id(container)] = len(self.items)
        self.items.append(container)


def encode(value: Any, table: Table, export: Callable[[Any], list[Any]]) -> Any:
    """Return JSON data for `value`; `export` makes a tagged reference of what is not plain data."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is float:
        return value if math.isfinite(value) else ["float", str(value)]
    if kind is int:
        return value if -(2**63) < value < 2**63 else ["int", hex(value)]
    if isinstance(value, _CONTAINERS) and id(value) in table.index:
        return ["same", table.index[id(value)]]
    if isinstance(value, dict):
        table.add(value)
        name = next((n for n in ("Counter", "OrderedDict", "defaultdict") if isinstance(value, _MAPPINGS[n])), "dict")
        return ["map", name, _pairs(value, table, export)]
    if isinstance(value, (list, deque)):
        table.add(value)
        return ["seq", "deque" if isinstance(value, deque) else "list", [encode(v, table, export) for v in value]]
    if isinstance(value, tuple):
        return ["tuple", [encode(v, table, export) for v in value]]
    if isinstance(value, set):
        table.add(value)
        return ["set", [encode(v, table, export) for v in value]]
    if isinstance(value, frozenset):
        return ["frozenset", [encode(v, table, export) for v in value]]
    if isinstance(value, bytearray):
        table.add(value)
        return ["bytearray", bytes(value).hex()]
    if isinstance(value, bytes):
        return ["bytes", bytes(value).hex()]
    if isinstance(value, type):
        return export(value)
    if isinstance(value, complex):
        return ["complex", str(value.real), str(value.imag)]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return encode(int(value), table, export)
    if isinstance(value, float):
        return encode(float(value), table, export)
    if kind is range:
        return ["range", value.start, value.stop, value.step]
    if kind is slice:
        return ["slice", *(encode(v, table, export) for v in (value.start, value.stop, value.step))]
    if kind is type(Ellipsis):
        return ["ellipsis"]
    if kind is Decimal:
        return ["decimal", str(value)]
    if kind is Fraction:
        return ["fraction", hex(value.numerator), hex(value.denominator)]
    if kind is timedelta:
        return ["timedelta", value.days, value.seconds, value.microseconds]
    if kind in (date, datetime, time):
        return ["date", kind.__name__, value.isoformat()]
    if kind is type({}.keys()) or kind is type({}.values()) or kind is type({}.items()):
        return encode(list(value), table, export)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return encode(value.item(), table, export)
    if numpy is not None and kind is numpy.ndarray and value.dtype.kind in "biufc":
        return ["array", value.dtype.str, list(value.shape), value.tobytes().hex()]
    return export(value)


def _pairs(value: dict[Any, Any], table: Table, export: Callable[[Any], list[Any]]) -> list[Any]:
    return [[encode(k, table, export), encode(v, table, export)] for k, v in value.items()]


def decode(data: Any, table: Table, resolve: Callable[[list[Any]], Any]) -> Any:
    """Rebuild a value; `resolve` handles the tags made by the other side's `export`."""
    if type(data) is not list:
        return data
    tag, *rest = data
    if tag == "same":
        return table.items[rest[0]]
    if tag == "map":
        mapping = _MAPPINGS[rest[0]]()
        table.add(mapping)
        fill(mapping, rest[1], table, resolve)
        return mapping
    if tag == "seq":
        sequence = _SEQUENCES[rest[0]]()
        table.add(sequence)
        fill(sequence, rest[1], table, resolve)
        return sequence
    if tag == "set":
        members: set[Any] = set()
        table.add(members)
        fill(members, rest[0], table, resolve)
        return members
    if tag == "bytearray":
        content = bytearray.fromhex(rest[0])
        table.add(content)
        return content
    if tag == "tuple":
        return tuple([decode(v, table, resolve) for v in rest[0]])
    if tag == "frozenset":
        return frozenset([decode(v, table, resolve) for v in rest[0]])
    if tag == "slice":
        return slice(*(decode(v, table, resolve) for v in rest))
    if tag == "array":
        import numpy

        return numpy.frombuffer(bytes.fromhex(rest[2]), dtype=numpy.dtype(rest[0])).reshape(rest[1]).copy()
    if tag in _SCALARS:
        return _SCALARS[tag](*rest)
    return resolve(data)


_SCALARS: dict[str, Callable[..., Any]] = {
    "float": float,
    "int": lambda text: int(text, 16),
    "bytes": bytes.fromhex,
    "complex": lambda real, imag: complex(float(real), float(imag)),
    "range": range,
    "ellipsis": lambda: ...,
    "decimal": Decimal,
    "fraction": lambda n, d: Fraction(int(n, 16), int(d, 16)),
    "timedelta": timedelta,
    "date": lambda name, text: _DATES[name].fromisoformat(text),
}


def content(container: Any, table: Table, export: Callable[[Any], list[Any]]) -> Any:
    """Encode what is inside a numbered container."""
    if isinstance(container, dict):
        return _pairs(container, table, export)
    if isinstance(container, bytearray):
        return bytes(container).hex()
    return [encode(v, table, export) for v in container]


def fill(container: Any, data: Any, table: Table, resolve: Callable[[list[Any]], Any]) -> None:
    """Give a container new content, in place."""
    if isinstance(container, bytearray):
        container[:] = bytes.fromhex(data)
        return
    if isinstance(container, dict):
        pairs = [(decode(k, table, resolve), decode(v, table, resolve)) for k, v in data]
        container.clear()
        container.update(dict(pairs))
        return
    values = [decode(v, table, resolve) for v in data]
    container.clear()
    container.update(values) if isinstance(container, set) else container.extend(values)


def snapshot(container: Any) -> list[Any]:
    """Return what `changed` needs to see whether a container changed."""
    if isinstance(container, dict):
        return [x for pair in container.items() for x in pair]
    return list(container)


def changed(container: Any, before: list[Any]) -> bool:
    """Return whether a container holds other objects than it did."""
    now = snapshot(container)
    return len(now) != len(before) or any(a is not b for a, b in zip(now, before, strict=True))
