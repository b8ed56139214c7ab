"""Caches on disks as they are: read-only, damaged, full."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import warnings

import diskcache
import pytest

from tests.executors.test_cache import REQUEST, Oracle
from w4s_gym.errors import ConfigError, ExecutorUnavailable
from w4s_gym.executors.base import ChatRequest
from w4s_gym.executors.cache import CachedExecutor
from w4s_gym.executors.reply_store import ReplyStore


@pytest.fixture
def folder(tmp_path):
    store = ReplyStore(tmp_path / "cache", writable=True)
    store.put({"short": "42", "long": "x" * 100_000})
    store.close()
    return tmp_path / "cache"


@pytest.fixture
def read_only(monkeypatch):
    """The tests may run as root, who can write everywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(diskcache, "Cache", lambda *_, **__: pytest.fail("opened for writing"))


def test_a_read_only_folder_is_read_and_left_as_it_is(folder, read_only):
    before = sorted(p.name for p in folder.rglob("*"))
    store = ReplyStore(folder, writable=False)
    assert (store.get("short"), store.get("long"), store.get("other")) == ("42", "x" * 100_000, None)
    store.close()
    assert sorted(p.name for p in folder.rglob("*")) == before


def test_a_folder_without_a_cache_is_told_and_not_made(tmp_path):
    with pytest.warns(UserWarning, match="holds no cache"):
        store = ReplyStore(tmp_path / "typo", writable=False)
    assert store.get("short") is None and not (tmp_path / "typo").exists()


def spoil(folder, how: str) -> None:
    file = folder / "cache.db"
    data = file.read_bytes()
    spoilt = {
        "garbage": b"not a database " * 1000,
        "cut": data[: len(data) // 2],
        "hole": data[:4096] + b"\xff" * 20_000,
    }
    file.write_bytes(spoilt[how])


@pytest.mark.parametrize("how", ["garbage", "cut", "hole"])
def test_a_damaged_cache_is_set_aside_with_a_warning_and_a_new_one_works(folder, how):
    spoil(folder, how)
    with pytest.warns(UserWarning, match=r"damaged.*kept as"):
        store = ReplyStore(folder, writable=True)
        assert store.get("long") is None
        store.put({"short": "43"})
    assert store.get("short") == "43"
    assert (folder / "cache.db.damaged-1").exists()
    store.close()


@pytest.mark.parametrize("how", ["garbage", "hole"])
def test_a_damaged_cache_in_a_read_only_folder_is_told_and_not_used(folder, read_only, how):
    spoil(folder, how)
    store = ReplyStore(folder, writable=False)
    with pytest.warns(UserWarning, match="not used"):
        assert store.get("short") is None


def test_two_users_of_a_damaged_cache_set_it_aside_once(folder):
    first, second = ReplyStore(folder, writable=True), ReplyStore(folder, writable=True)
    error = sqlite3.DatabaseError("malformed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first._set_aside(error)
        first.put({"new": "1"})
        second._set_aside(error)
    assert second.get("new") == "1"
    assert not (folder / "cache.db.damaged-2").exists()


def test_a_spoilt_entry_is_asked_for_again(tmp_path):
    inner = Oracle()
    executor = CachedExecutor(inner, tmp_path)
    executor._disk.put({executor._key(REQUEST, 0): '{"completion": '})
    assert asyncio.run(executor.complete(REQUEST)).completions[0].text.startswith("sample 0")
    assert inner.asked == [(0, 1)]


@pytest.mark.parametrize(
    "failure", [sqlite3.OperationalError("database or disk is full"), OSError(errno.ENOSPC, "No space left on device")]
)
@pytest.mark.parametrize("when_full", ["stop", "go on"])
def test_on_a_full_disk_nothing_more_is_paid_or_answers_go_on_by_option(tmp_path, monkeypatch, failure, when_full):
    def fail(*_, **__):
        raise failure

    inner = Oracle()
    executor = CachedExecutor(inner, tmp_path, when_full=when_full)
    monkeypatch.setattr(diskcache.Cache, "set", fail)
    requests = [ChatRequest(({"role": "user", "content": str(i)},)) for i in range(5)]

    async def ask() -> list[object]:
        return [(await asyncio.gather(executor.complete(r), return_exceptions=True))[0] for r in requests]

    first, *others = asyncio.run(ask())
    assert first.completions[0].text == "sample 0 of draw 0"  # it was paid
    if when_full == "go on":
        assert all(reply.completions for reply in others) and len(inner.asked) == 5
    else:
        assert all(isinstance(e, ExecutorUnavailable) and "disk is full" in str(e) for e in others)
        assert str(tmp_path) in str(others[0]) and len(inner.asked) == 1


def test_a_folder_that_cannot_be_made_is_named_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="expected a cache folder that can be written"):
        CachedExecutor(Oracle(), tmp_path / "file" / "cache")
