"""Logging a finished run where wandb cannot be reached."""

from __future__ import annotations

import sys
import types

import pytest

from w4s_gym.study import track


@pytest.mark.parametrize(
    "error", [OSError("no route to host"), TimeoutError("timed out after 90 s"), RuntimeError("[401]")]
)
def test_a_key_without_a_network_logs_offline_and_loses_nothing(monkeypatch, tmp_path, capsys, error):
    modes = []

    def init(*, mode, **_):
        modes.append(mode)
        if mode != "offline":
            raise error
        return types.SimpleNamespace(url=None, dir=str(tmp_path / "wandb"))

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    _, where = track._start(tmp_path, "name", {}, True, None)
    assert modes == ["online", "offline"]
    assert where == str(tmp_path / "wandb")
    said = capsys.readouterr().out
    assert str(error) in said and "wandb sync" in said
