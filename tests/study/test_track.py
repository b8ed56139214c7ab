"""Tracking: one run of the tracker for each designer and seed, live, with the numbers of the table."""

from __future__ import annotations

import json
import os
import struct
import sys
import types

import pytest

from tests.study.recorded_tracker import Recorded
from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.study import report, track
from w4s_gym.study.cells import Cell, comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.report import write_report
from w4s_gym.study.results import Results
from w4s_gym.study.tracking import Tracking

COMPARE = Study("compare", comparison_cells, write_report)
SMALL = {
    "budget": 60,
    "candidates": 2,
    "design_episodes": 2,
    "curve_turns": 0,
    "validation_size": 4,
    "test_size": 5,
    "workers": 0,
    "track": True,
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(track, "_has_key", lambda: False)
    monkeypatch.setattr(report.Figures, "draw", lambda *_: [])


def read_offline(folder):
    """Return what the files of wandb hold: id -> (run, history, summary)."""
    import wandb
    from wandb.proto import wandb_internal_pb2 as proto

    wandb.teardown()  # its service writes the last records after `finish` returned; this waits for them
    runs = {}
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        # The log format of LevelDB, after a header of 7 bytes: blocks of 32 KiB of (checksum, length, kind) and data.
        data, position, record = file.read_bytes(), 7, b""
        run, history, summary = None, [], {}
        while position + 7 <= len(data):
            left = 32768 - position % 32768
            if left < 7:
                position += left
                continue
            _, length, kind = struct.unpack("<IHB", data[position : position + 7])
            record += data[position + 7 : position + 7 + length]
            position += 7 + length
            if kind not in (1, 4):
                continue
            found = proto.Record()
            found.ParseFromString(record)
            record = b""
            if found.HasField("run"):
                run = found.run
            if found.history.item:
                items = found.history.item
                history.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
            for item in found.summary.update:
                summary[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        runs.setdefault(run.run_id, []).append((run, history, summary))
    return runs


def test_a_comparison_of_two_seeds_and_three_designers_is_six_runs_with_live_curves_and_the_numbers_of_the_table(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    folder = tmp_path / "run"
    algos = ("untrained", "seed", "random_edits")
    assert COMPARE.run(CompareConfig(**SMALL, algos=algos, seeds=2, run_dir=folder)) == 0
    assert "tracked by wandb: " in (said := capsys.readouterr().out) and "and 5 more" in said
    tracked = [one for runs in read_offline(folder).values() for one in runs]
    assert len(tracked) == 6
    assert {run.display_name for run, *_ in tracked} == {f"{algo}/{seed}" for algo in algos for seed in (0, 1)}
    assert len({run.run_group for run, *_ in tracked}) == 1
    assert {run.project for run, *_ in tracked} == {"mine"}
    assert all("simulated" in run.tags for run, *_ in tracked)
    results = Results.of_run(RunFolder.open(folder))
    for algo in algos:
        own = [one for one in tracked if one[0].display_name.startswith(f"{algo}/")]
        search = [summary["test/search"] for *_, summary in own]
        assert sum(search) / 2 == pytest.approx(results.search_scores(algo).mean())
        for run, history, summary in own:
            cell = next(c for c in results.of(algo) if run.display_name == f"{algo}/{c.seed}")
            points = [point for point in history if "calls" in point]
            assert [(p["calls"], p["train/best"]) for p in points] == [
                (p["calls"], p["best"]) for p in cell.result["curve"]
            ]
            assert all(isinstance(value, int | float) for point in points for value in point.values())
            assert summary["training/calls"] == cell.result["training"]["calls"]
    designs = [s["test/design"] for run, _, s in tracked if run.display_name.startswith("untrained/")]
    assert sum(designs) / 2 == pytest.approx(results.design_scores("untrained").mean())
    # Again, when all is over: the same runs, no others.
    assert COMPARE.run(CompareConfig(report=folder, track=True)) == 0
    again = read_offline(folder)
    assert len(again) == 6 and all(len(runs) == 2 for runs in again.values())


def test_points_arrive_while_the_cell_runs(tmp_path, monkeypatch):
    started, before = [], []
    monkeypatch.setitem(track._STARTS, "wandb", lambda card: started.append(Recorded(card)) or started[-1])
    monkeypatch.setattr(Cell, "run", _tell_twice(started, before))
    config = CompareConfig(**SMALL, algos=("seed",), seeds=1, run_dir=tmp_path / "run")
    COMPARE.run(config)
    assert before == [0, 1] and len(started[0].points) == 2
    assert started[0].points[0] == {"calls": 1, "train/best": 0.5}


def _tell_twice(started, before):
    from w4s_gym.study.notices import Notice

    def run(self, folder, notify):
        for calls in (1, 2):
            before.append(len(started[0].points) if started else 0)
            notify(Notice("searching", 0.5, point={"calls": calls, "best": 0.5}))
        raise RuntimeError("enough")

    return run


def test_a_tracker_that_fails_costs_the_run_nothing_and_is_told(tmp_path, monkeypatch, capsys):
    def broken(card):
        raise OSError("the disk is full")

    monkeypatch.setitem(track._STARTS, "wandb", broken)
    config = CompareConfig(**SMALL, algos=("seed",), seeds=1, run_dir=tmp_path / "run")
    assert COMPARE.run(config) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("seed/0 is not tracked any more (OSError: the disk is full)") == 1
    assert "report RUN --track" in said


def test_runs_of_two_folders_differ_and_those_of_one_do_not(tmp_path):
    folders = [RunFolder.create(tmp_path / name, {}, simulated=True) for name in ("a", "b")]
    config = CompareConfig()
    cards = [Tracking(f, "wandb")._card(Cell(config, "rlao", seed)) for f in folders for seed in (0, 1)]
    assert len({card.id for card in cards}) == 4 and len({card.group for card in cards}) == 2
    assert Tracking(RunFolder.open(tmp_path / "a"), "wandb")._card(Cell(config, "rlao", 0)) == cards[0]


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_a_tracker_that_lacks_is_told_before_anything_is_made(tmp_path, capsys, monkeypatch, tracker):
    monkeypatch.setattr(track, "find_spec", lambda name: None)
    path = tmp_path / "run"
    assert COMPARE.run(CompareConfig(**SMALL, tracker=tracker, algos=("seed",), run_dir=path)) == 2
    assert f"expected the package {tracker} for --track" in " ".join(capsys.readouterr().out.split())
    assert not path.exists()


def test_a_missing_key_is_told_before_the_run_and_refused_where_one_is_needed(monkeypatch, capsys):
    track.check_tracker("wandb")
    assert "tracked offline" in capsys.readouterr().out
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(ConfigError, match="wandb login"):
        track.check_tracker("wandb")


def test_a_tracker_without_track_is_refused():
    with pytest.raises(ConfigError, match="--track beside --tracker trackio"):
        CompareConfig(tracker="trackio")


def test_trackio_is_given_the_same_points(monkeypatch, tmp_path):
    logged, given = [], {}
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "mine")  # so that it is as before afterwards
    monkeypatch.delenv("GRADIO_ANALYTICS_ENABLED")
    run = types.SimpleNamespace(log=logged.append, finish=lambda: logged.append("end"))
    monkeypatch.setitem(sys.modules, "trackio", types.SimpleNamespace(init=lambda **k: given.update(k) or run))
    tracked = track.start_run("trackio", track.Card(tmp_path, "1f", "rlao/0", "mine", {"budget": 5}, True))
    tracked.log({"calls": 3, "train/best": 0.5})
    tracked.finish({"test/search": 0.25})
    assert logged == [{"calls": 3, "train/best": 0.5}, {"test/search": 0.25}, "end"]
    assert (given["name"], given["group"], given["resume"]) == ("rlao/0-1f", "mine", "allow")
    assert given["config"] == {"budget": 5, "simulated": True}
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


@pytest.mark.parametrize(
    "error", [OSError("no route to host"), TimeoutError("timed out after 90 s"), RuntimeError("[401]")]
)
def test_a_key_without_a_network_tracks_offline_and_loses_nothing(monkeypatch, tmp_path, capsys, error):
    modes = []

    def init(*, mode, **_):
        modes.append(mode)
        if mode != "offline":
            raise error
        return types.SimpleNamespace(url=None, dir=str(tmp_path / "wandb"), define_metric=lambda *_, **__: None)

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=init, Settings=lambda **_: None))
    monkeypatch.setattr(track, "_has_key", lambda: True)
    run = track.start_run("wandb", track.Card(tmp_path, "1f", "rlao/0", "mine", {}, True))
    assert modes == ["online", "offline"]
    assert run.place == str(tmp_path / "wandb")
    said = capsys.readouterr().out
    assert str(error) in said and "wandb sync" in said
