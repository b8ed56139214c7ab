"""The host's end of the socket to a confined child, buffered in both directions."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable


class Channel:
    """Reads and writes without blocking. Everything happens on the event loop."""

    def __init__(self, on_data: Callable[[], None], on_written: Callable[[], None]) -> None:
        """Prepare it; `open` gives it its socket.

        Args:
            on_data: called when there is more in `inbox`.
            on_written: called when all that was written has left.
        """
        self._loop = asyncio.get_running_loop()
        self._on_data = on_data
        self._on_written = on_written
        self._outbox = bytearray()
        self._writing = False
        self.reading = False
        self.inbox = bytearray()
        """What was read and not taken yet."""

    @property
    def blocked(self) -> bool:
        """Whether the child has not read yet what was written."""
        return bool(self._outbox)

    def open(self, sock: socket.socket) -> None:
        """Use this socket, which must not block."""
        self._sock = sock

    def close(self) -> None:
        """Read and write no more."""
        self.read(False)
        self._want_to_write(False)
        self._sock.close()

    def read(self, on: bool) -> None:
        """Read what comes, or leave it in the socket."""
        if on == self.reading:
            return
        self.reading = on
        if on:
            self._loop.add_reader(self._sock.fileno(), self.read_once)
        else:
            self._loop.remove_reader(self._sock.fileno())

    def read_once(self) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = self._sock.recv(262_144)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.read(False)
            return False
        self.inbox += data
        self._on_data()
        return True

    def write(self, data: bytes) -> None:
        """Send, now or when the child has read what was sent before."""
        waiting = self.blocked
        self._outbox += data
        if not waiting:
            self._write_on()

    def _write_on(self) -> None:
        try:
            sent = self._sock.send(self._outbox)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._outbox.clear()
            sent = 0
        del self._outbox[:sent]
        self._want_to_write(self.blocked)
        if sent and not self.blocked:
            self._on_written()

    def _want_to_write(self, on: bool) -> None:
        if on == self._writing:
            return
        self._writing = on
        if on:
            self._loop.add_writer(self._sock.fileno(), self._write_on)
        else:
            self._loop.remove_writer(self._sock.fileno())
