from __future__ import annotations

import json
from dataclasses import replace

import pytest

from w4s_gym.errors import ConfigError, ExecutorUnavailable, UnknownExecutor
from w4s_gym.executors import make_executor


@pytest.fixture
def recorded(serve, question, run, tmp_path):
    """A recording of three requests, the path of its file, and the replies."""
    server, path = serve(), tmp_path / "run.jsonl"
    executor = make_executor(f"record:{path}@openai:m@v1", {"base_url": server.base_url})

    async def ask():
        replies = [await executor.complete(question(a, n=a, draw=a)) for a in (1, 2, 3)]
        await executor.close()
        return replies

    replies = run(ask())
    server.close()
    return path, replies


def test_a_recording_repeats_a_run_offline_and_for_nothing(recorded, question, run):
    path, replies = recorded
    replay = make_executor(f"replay:{path}")
    assert (replay.name, replay.simulated) == ("openai:m@v1", False)
    for a, reply in zip((1, 2, 3), replies, strict=True):
        again = run(replay.complete(question(a, n=a, draw=a)))
        assert again.completions == reply.completions
        assert again.usage == replace(reply.usage.again(), seconds=0.0)


def test_one_sample_of_several_can_be_replayed(recorded, question, run):
    replay = make_executor(f"replay:{recorded[0]}")
    assert len(run(replay.complete(question(3, n=1, draw=3, sample_index=2))).completions) == 1


def test_what_was_not_recorded_is_said(recorded, question, run):
    replay = make_executor(f"replay:{recorded[0]}")
    for request in (question(9), question(1, draw=7), question(1, n=2, draw=1)):
        with pytest.raises(ExecutorUnavailable, match="record:"):
            run(replay.complete(request))


def test_a_line_that_a_kill_cut_short_is_skipped_and_the_recording_goes_on(recorded, serve, question, run):
    path, replies = recorded
    path.write_bytes(path.read_bytes()[:-20])
    assert run(make_executor(f"replay:{path}").complete(question(1, draw=1))).completions == replies[0].completions
    executor = make_executor(f"record:{path}@openai:m@v1", {"base_url": serve().base_url})
    run(executor.complete(question(3, n=3, draw=3)))
    assert run(make_executor(f"replay:{path}").complete(question(3, n=3, draw=3))).completions == replies[2].completions


def test_a_request_is_recorded_once(recorded, serve, question, run):
    path, _ = recorded
    before = path.read_text()
    executor = make_executor(f"record:{path}@openai:m@v1", {"base_url": serve().base_url})
    run(executor.complete(question(1, draw=1)))
    assert path.read_text() == before


def test_a_recording_holds_requests_and_replies_and_no_more(recorded):
    header, *lines = (json.loads(line) for line in recorded[0].read_text().splitlines())
    assert header == {"w4s_recording": 1, "executor": "openai:m@v1", "simulated": False}
    assert len(lines) == 6
    assert all(set(line) == {"key", "messages", "sample"} for line in lines)


def test_files_that_are_no_recordings_are_refused(recorded, serve, tmp_path):
    with pytest.raises(ConfigError, match="openai:m@v1"):
        make_executor(f"record:{recorded[0]}@openai:other", {"base_url": "http://localhost:1/v1"})
    with pytest.raises(ConfigError, match="no recording at"):
        make_executor(f"replay:{tmp_path / 'missing'}")
    (tmp_path / "other").write_text("{}\n")
    with pytest.raises(ConfigError, match="first line"):
        make_executor(f"replay:{tmp_path / 'other'}")
    for spec in ("record:file", "replay:", "openai:", "gpt-4o-mini"):
        with pytest.raises(UnknownExecutor, match="expected"):
            make_executor(spec)
