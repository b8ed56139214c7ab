"""Turning what a workflow made into plain JSON data."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any, depth: int = 60) -> Any:
    """Return `value` as finite JSON data.

    Tuples, sets and arrays become lists, numpy scalars numbers, NaN and infinities their names; what has no JSON form
    becomes its text.

    Raises:
        ValueError: nested too deeply.
    """
    kind = type(value)
    if value is None or kind is str or kind is bool or kind is int:
        return value
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if depth == 0:
        raise ValueError("a value is nested deeper than 60 levels (or contains itself)")
    if isinstance(value, dict):
        return {k if type(k) is str else str(k): plain(v, depth - 1) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v, depth - 1) for v in value]
    if isinstance(value, (bool, int)):
        return int(value)
    if isinstance(value, float):
        return plain(float(value), depth)
    if isinstance(value, str):
        return str.__str__(value)
    if kind.__module__ == "numpy":
        return plain(value.tolist(), depth - 1)
    return str(value)
