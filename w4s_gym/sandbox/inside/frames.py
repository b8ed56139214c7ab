"""Length-prefixed JSON frames, read strictly: used on both ends of a channel."""

from __future__ import annotations

import json
import math
import os
import re
import struct
from typing import Any, NoReturn

HEADER = struct.Struct(">BI")
"""Kind of the frame (one byte) and length of its body in bytes."""

JOB, REPLY, CALL, RESULT, PEER, CONTROL = 1, 2, 3, 4, 5, 6
"""Kinds of frames: host to child, answer to a call, call of a child, its result, tester to candidate, zygote."""

MAX_CALL_BYTES = 4_000_000
"""Largest frame that a child may send as a call or to its peer."""

MAX_DEPTH = 64
"""Deepest nesting of lists and dicts in a frame."""


_ADDRESS = re.compile(rb" at 0x[0-9a-fA-F]{6,16}>")


class FrameError(ValueError):
    """A frame is not what the protocol allows."""


def _no_constant(name: str) -> NoReturn:
    raise FrameError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise FrameError("a number is out of range")
    return value


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode


def pack(kind: int, body: Any) -> bytes:
    """Return one frame; `body` must be finite plain JSON data."""
    data = _encode(body).encode("ascii")
    return HEADER.pack(kind, len(data)) + data


def pack_reply(call_id: int, value: Any) -> bytes:
    """Return the frame that answers a call; what cannot be sent becomes an error of the call, so that it gets one."""
    try:
        _check_depth(value, MAX_DEPTH - 1)
        return pack(REPLY, {"id": call_id, "value": value})
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the reply cannot be passed on: {str(error)[:200]}"
        return pack(REPLY, {"id": call_id, "error": {"kind": "ValueError", "message": message}})


def hide_addresses(data: bytes) -> bytes:
    """Take the memory addresses out of default texts of objects: `<A object at 0x7f...>` differs from run to run."""
    return _ADDRESS.sub(b" at 0x...>", data) if b" at 0x" in data else data


def clean_text(text: str) -> str:
    """Replace lone surrogates and NUL, which tokenisers, files and C strings cannot hold."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _check_depth(value: Any, depth: int) -> None:
    level: list[Any] = [[value]]
    while level := [v for part in level for v in (part.values() if type(part) is dict else part)
                    if type(v) is dict or type(v) is list]:  # fmt: skip
        depth -= 1
        if depth <= 0:
            raise FrameError(f"nested deeper than {MAX_DEPTH} levels")


def _clean(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        return clean_text(value)
    if kind is list:
        if depth == 0:
            raise FrameError(f"nested deeper than {MAX_DEPTH} levels")
        return [_clean(v, depth - 1) for v in value]
    if kind is dict:
        if depth == 0:
            raise FrameError(f"nested deeper than {MAX_DEPTH} levels")
        return {clean_text(k): _clean(v, depth - 1) for k, v in value.items()}
    return value


def unpack(data: bytes) -> Any:
    """Read the body of a frame that a hostile process may have written.

    Raises:
        FrameError: not UTF-8, not JSON, NaN or infinite, nested too deeply, or a number of thousands of digits.
    """
    try:
        value = _decoder.decode(data.decode("utf-8"))
        if b"\\u" not in data and data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
            return value  # without escapes there are no lone surrogates and no NUL, and it cannot be too deep
        return _clean(value, MAX_DEPTH)
    except FrameError:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise FrameError(f"not a JSON frame: {str(error)[:100]}") from None


def read_exactly(fd: int, size: int) -> bytes:
    """Read `size` bytes from a blocking descriptor.

    Raises:
        EOFError: the other end closed.
    """
    data = os.read(fd, size)
    if len(data) == size:
        return data
    parts = [data]
    missing = size - len(data)
    while missing:
        if not parts[-1]:
            raise EOFError("the channel was closed")
        parts.append(os.read(fd, min(missing, 1 << 20)))
        missing -= len(parts[-1])
    return b"".join(parts)


class Reader:
    """Reads frames from a blocking descriptor with few system calls; only for frames from a trusted end."""

    def __init__(self, fd: int) -> None:
        """Read from `fd`."""
        self._fd = fd
        self._data = b""

    def next(self) -> Any:
        """Wait for one frame and return its body.

        Raises:
            EOFError: the other end closed.
        """
        while True:
            if len(self._data) >= HEADER.size:
                end = HEADER.size + HEADER.unpack_from(self._data)[1]
                if len(self._data) < end:
                    self._data += read_exactly(self._fd, end - len(self._data))
                body, self._data = self._data[HEADER.size : end], self._data[end:]
                return unpack(body)
            part = os.read(self._fd, 65536)
            if not part:
                raise EOFError("the channel was closed")
            self._data += part


def read_frame(fd: int) -> tuple[int, Any]:
    """Read (kind, body) from a blocking descriptor; only for frames from a trusted end."""
    kind, size = HEADER.unpack(read_exactly(fd, HEADER.size))
    return kind, unpack(read_exactly(fd, size))


def write_all(fd: int, data: bytes) -> None:
    """Write everything to a blocking descriptor."""
    sent = os.write(fd, data)
    while sent < len(data):
        sent += os.write(fd, data[sent : sent + (1 << 20)])
