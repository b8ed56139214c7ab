"""The last meters: terminals, editors' marks, homes and limits as they are."""

from __future__ import annotations

import copy
import io
import os
import pickle
import resource
import subprocess
import sys

import pytest

from w4s_gym import cache_folder
from w4s_gym.data import DataFile, read_file
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.journal import read_journal
from w4s_gym.prompts import observation
from w4s_gym.spaces import MAX_TEXT, UnicodeText
from w4s_gym.terminal import print_tolerantly
from w4s_gym.workflows import hand_made_workflow

SMALL = {"validation_size": 2, "test_size": 2, "seed_workflows": ["CoT"]}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_any_text_is_printed_on_any_terminal(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_tolerantly("12 \u2264 13 \u2503 \U0001f600 plain", stream)
    stream.seek(0)
    assert "plain" in stream.read()


def test_an_episode_is_shown_on_an_ascii_terminal():
    program = (
        "from w4s_gym.env import WorkflowDesignEnv\n"
        "env = WorkflowDesignEnv('GSMSymbolic', render_mode='human', validation_size=2, test_size=2)\n"
        "env.reset(seed=0)\nenv.close()\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "GSMSymbolic" in done.stdout


def test_a_byte_order_mark_in_files_of_ones_own_does_no_harm(tmp_path):
    data = tmp_path / "own.jsonl"
    data.write_text('\ufeff{"question": "1 + 1"}\n', encoding="utf-8")
    assert read_file(data, DataFile("own.jsonl", {"question": str}), verify=False) == [{"question": "1 + 1"}]
    journal = tmp_path / "journal.jsonl"
    journal.write_text('\ufeff{"kind": "x"}\n{"kind": "y"}\n', encoding="utf-8")
    assert [r["kind"] for r in read_journal(journal)] == ["x", "y"]


@pytest.mark.parametrize("home", ["file", "none"])
def test_without_a_home_that_can_be_written_there_is_another_folder(monkeypatch, tmp_path, home):
    monkeypatch.delenv("W4S_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(cache_folder.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    if home == "none":
        monkeypatch.setattr(cache_folder, "user_path", lambda text: __import__("pathlib").Path(text))
    else:
        monkeypatch.setenv("HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="W4S_CACHE_DIR"):
        folder = cache_folder.writable_cache_root()
    assert folder.is_dir() and folder.is_relative_to(tmp_path / "tmp")
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("way", [copy.deepcopy, pickle.dumps])
def test_an_environment_in_use_says_why_it_cannot_be_copied(way):
    env = WorkflowDesignEnv("GSMSymbolic", **SMALL)
    env.reset(seed=0)
    with pytest.raises(TypeError, match=r"close\(\).*evaluate_candidates"):
        way(env)
    env.close()


def test_an_environment_that_is_closed_can_be_copied_and_goes_on_alone():
    env = WorkflowDesignEnv("GSMSymbolic", **SMALL)
    first, _ = env.reset(seed=0)
    env.close()
    for other in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        assert other.reset(seed=0)[0] == first
        other.close()


@pytest.mark.parametrize("length", [10, MAX_TEXT, MAX_TEXT + 1, 3 * MAX_TEXT])
def test_an_observation_stays_inside_its_space(length):
    text = observation([{"role": "user", "content": "x" * length}])
    assert UnicodeText().contains(text)
    assert text.endswith("x") and ("left out" in text) == (length + 7 > MAX_TEXT)


def test_an_action_longer_than_its_space_leads_to_an_observation_inside_its_own():
    env = WorkflowDesignEnv("GSMSymbolic", window=3, **SMALL)
    env.reset(seed=0)
    action = "#" * 1_000_001 + f"\n```python\n{hand_made_workflow('CoT', 'number')}\n```\n"
    observed, *_ = env.step(action)
    assert env.observation_space.contains(observed)
    env.close()


def test_a_low_limit_of_open_files_is_raised_or_heeded():
    program = (
        "import resource, asyncio\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from w4s_gym.env import WorkflowDesignEnv\n"
        "env = WorkflowDesignEnv('GSMSymbolic', validation_size=128, test_size=2, seed_workflows=['CoT'])\n"
        "env.reset(seed=0)\n"
        "print(env.seed_evaluations['CoT'].statuses)\nenv.close()\n"
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for soft, most in ((128, hard), (128, 128)):
        text = program.format(soft=soft, hard=most)
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=300)
        assert "{'ok': 128}" in done.stdout, done.stderr
