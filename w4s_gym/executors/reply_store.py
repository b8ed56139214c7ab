"""A folder of texts by key that survives what happens to disks: read-only, damaged or full ones."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path

import diskcache

from w4s_gym.errors import ConfigError
from w4s_gym.paths import user_path

_LOCK_SECONDS = 60.0
_NO_LIMIT = 2**50
_FILE = "cache.db"
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class StoreFull(Exception):
    """Nothing more can be written; the message names the folder and the reason."""


class ReplyStore:
    """Texts by key in one folder, which several processes may share. Nothing is ever evicted."""

    def __init__(self, folder: str | Path, *, writable: bool) -> None:
        """Open the folder; one that shall be written is made.

        A damaged file is set aside with a warning, and a new one begun.

        Args:
            folder: where.
            writable: whether texts will be stored.

        Raises:
            ConfigError: it shall be written and cannot be.
        """
        self.folder = str(user_path(folder).resolve())
        self._writable = writable
        self._lock = threading.Lock()
        self._read_only = threading.local()
        self._disk: diskcache.Cache | None = None
        self._inode: int | None = None
        if not writable and not os.path.isfile(os.path.join(self.folder, _FILE)):
            warnings.warn(f"{self.folder} holds no cache, so there is nothing to read from it", stacklevel=3)
        elif writable or os.access(self.folder, os.W_OK):
            self._open()

    def get(self, key: str) -> str | None:
        """Return the text of a key, or None; also when the file turns out to be damaged there."""
        try:
            if self._disk is not None:
                found = self._disk.get(key)
            else:
                found = self._get_read_only(key)
        except (sqlite3.DatabaseError, OSError) as error:
            if self._disk is None or not _is_damage(error):
                self._warn(error)
            else:
                self._set_aside(error)
            return None
        return found if isinstance(found, str) else None

    def has(self, key: str) -> bool:
        """Tell whether a key is stored."""
        return self.get(key) is not None

    def put(self, texts: Mapping[str, str]) -> None:
        """Store texts.

        Raises:
            StoreFull: they could not be written.
        """
        for _ in range(2):
            assert self._disk is not None
            try:
                with self._disk.transact(retry=True):
                    for key, text in texts.items():
                        self._disk.set(key, text, retry=True)
                return
            except (sqlite3.DatabaseError, OSError) as error:
                if not _is_damage(error):
                    why = _why(error, self.folder)
                    raise StoreFull(f"the cache folder {self.folder} cannot be written: {why}") from error
                self._set_aside(error)
        raise StoreFull(f"the cache in {self.folder} is damaged, and so is the new one: is the disk failing?")

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._disk is not None:
            self._disk.close()

    def _open(self) -> None:
        for attempt in range(2):
            try:
                self._disk = diskcache.Cache(
                    self.folder, timeout=_LOCK_SECONDS, size_limit=_NO_LIMIT, eviction_policy="none", statistics=False
                )
                self._inode = Path(self.folder, _FILE).stat().st_ino
                return
            except (sqlite3.DatabaseError, OSError) as error:
                if attempt == 0 and _is_damage(error):
                    self._set_aside(error, reopen=False)
                elif self._writable:
                    raise ConfigError(
                        f"expected a cache folder that can be written; got {self.folder}: {_why(error, self.folder)}. "
                        "Choose another, or use what it holds with cache='read'"
                    ) from error
                else:
                    return  # read without opening it for writing

    def _set_aside(self, error: Exception, reopen: bool = True) -> None:
        """Rename a damaged file and begin a new one."""
        with self._lock:
            path = Path(self.folder, _FILE)
            if self._inode is not None and path.exists() and path.stat().st_ino != self._inode:
                self._open()  # another thread or process has done it
                return
            number = 1
            while (kept := path.with_name(f"{_FILE}.damaged-{number}")).exists():
                number += 1
            if self._disk is not None:
                self._disk.close()
            self._inode = None
            for ending in ("-wal", "-shm"):
                path.with_name(_FILE + ending).unlink(missing_ok=True)
            path.replace(kept)
            warnings.warn(
                f"the cache {path} is damaged ({error}): it is kept as {kept.name}, and a new one is begun, so its "
                "replies are asked for again",
                stacklevel=5,
            )
            if reopen:
                self._open()

    def _get_read_only(self, key: str) -> str | None:
        """Read without any change in the folder, which diskcache cannot."""
        connection = getattr(self._read_only, "connection", None)
        if connection is None:
            path = Path(self.folder, _FILE)
            if not path.is_file():
                return None
            # Immutable: no lock and no journal is looked for, which a read-only folder could not hold.
            connection = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
            self._read_only.connection = connection
        row = connection.execute("SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,)).fetchone()
        return None if row is None else diskcache.Disk(self.folder).fetch(*row, read=False)

    def _warn(self, error: Exception) -> None:
        warnings.warn(f"the cache in {self.folder} cannot be read ({error}): its replies are not used", stacklevel=4)


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED


def _why(error: Exception, folder: str) -> str:
    full = getattr(error, "errno", None) in _FULL or "full" in str(error)
    if not full:
        return str(error)
    try:
        free = f", {shutil.disk_usage(folder).free // 2**20} MB are free"
    except OSError:
        free = ""
    return f"the disk is full ({error}{free})"
