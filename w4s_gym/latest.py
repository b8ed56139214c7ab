"""A memory of bounded size that forgets what was not asked for the longest."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Latest(Generic[Key, Value]):
    """Keeps the values that were kept or asked for last.

    >>> memory = Latest[str, int](2)
    >>> memory.keep("a", 1), memory.keep("b", 2), memory.get("a"), memory.keep("c", 3)
    (None, None, 1, None)
    >>> memory.get("a"), memory.get("b")
    (1, None)
    """

    def __init__(self, most: int) -> None:
        """Keep at most `most` values."""
        self._most = most
        self._kept: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, or None."""
        found = self._kept.pop(key, None)
        if found is not None:
            self._kept[key] = found
        return found

    def keep(self, key: Key, value: Value) -> None:
        """Keep a value that is not None."""
        self._kept.pop(key, None)
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = value
