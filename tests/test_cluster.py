"""Connecting to Ray, where Ray is a stand-in that remembers what it was started with."""

import os
import sys
import types

import pytest

from w4s_gym.cluster import connect
from w4s_gym.errors import ConfigError

SETTINGS = {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def started(monkeypatch):
    """Each start of Ray: its options, and the settings that its processes inherit."""
    starts = []
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
        monkeypatch.delenv(name)

    def init(**options):
        starts.append((options, {name: os.environ.get(name) for name in SETTINGS}))

    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(is_initialized=lambda: bool(starts), init=init))
    return starts


def test_a_cluster_of_ours_keeps_its_pace_and_reports_to_nobody(started):
    connect("")
    connect("")
    assert started == [({"address": None, "logging_level": "warning"}, SETTINGS)]


def test_what_the_user_set_stays(started, monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    connect("10.0.0.1:6379")
    assert started[0][0]["address"] == "10.0.0.1:6379" and started[0][1]["RAY_USAGE_STATS_ENABLED"] == "1"


def test_no_cluster_at_the_address_is_told(monkeypatch):
    def init(**_):
        raise ConnectionError("nobody there")

    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(is_initialized=lambda: False, init=init))
    with pytest.raises(ConfigError, match=r"at 10\.0\.0\.1.*ray start --head.*nobody there"):
        connect("10.0.0.1")
