"""Counter-based randomness: every variate is a hash of what it belongs to, so order and concurrency cannot matter."""

from __future__ import annotations

import struct
from hashlib import blake2b
from statistics import NormalDist

_WORDS = struct.Struct("<8Q")
_STANDARD_NORMAL = NormalDist()
_SCALE = 2.0**-53


def digest(*parts: str) -> bytes:
    """Hash texts into 16 bytes; the boundaries between the parts count."""
    state = blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.digest()


class Stream:
    """A reproducible sequence of variates that depends on a key only."""

    __slots__ = ("_block", "_key", "_used", "_words")

    def __init__(self, key: bytes) -> None:
        """Start the sequence that belongs to `key` (at most 64 bytes)."""
        self._key = key
        self._block = 0
        self._used = 0
        self._words = _WORDS.unpack(blake2b(b"\0", key=key, digest_size=64).digest())

    def uniform(self) -> float:
        """Return a number strictly between 0 and 1."""
        if self._used == 8:
            self._block += 1
            self._used = 0
            counter = self._block.to_bytes(8, "little")
            self._words = _WORDS.unpack(blake2b(counter, key=self._key, digest_size=64).digest())
        word = self._words[self._used]
        self._used += 1
        return ((word >> 11) + 0.5) * _SCALE

    def normal(self) -> float:
        """Return a standard normal variate."""
        return _STANDARD_NORMAL.inv_cdf(self.uniform())

    def index(self, size: int) -> int:
        """Return an integer in [0, size)."""
        return int(self.uniform() * size)
