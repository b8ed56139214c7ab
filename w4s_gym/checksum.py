"""Checksums of data files that also locate an altered row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any


def checksum(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a checksum that also locates a single altered row.

    Each row has a 32-bit digest. The first word is the exclusive or of all digests, word b + 1 that of the rows whose
    1-based number has bit b set (the idea of a Hamming code). When one row changed, the words that change spell its
    number.
    """
    bits = len(rows).bit_length()
    words = [0] * (bits + 1)
    for number, row in enumerate(rows, start=1):
        canonical = json.dumps(row, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
        digest = int.from_bytes(hashlib.blake2b(canonical, digest_size=4).digest(), "big")
        words[0] ^= digest
        for bit in range(bits):
            if number >> bit & 1:
                words[bit + 1] ^= digest
    return "".join(f"{word:08x}" for word in words)


def altered_row(rows: Sequence[Mapping[str, Any]], expected: str) -> int | None:
    """Return None if the rows have this checksum, the 1-based number of the one altered row, or 0 for several."""
    actual = checksum(rows)
    if actual == expected:
        return None
    words = [(int(actual[i : i + 8], 16) ^ int(expected[i : i + 8], 16)) for i in range(0, len(expected), 8)]
    difference, parts = words[0], words[1:]
    if len(actual) != len(expected) or not difference or any(part not in (0, difference) for part in parts):
        return 0
    number = sum(1 << bit for bit, part in enumerate(parts) if part)
    return number if 1 <= number <= len(rows) else 0
