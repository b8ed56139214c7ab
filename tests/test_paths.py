"""A leading `~` is the home folder in every option and variable that is a path."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from w4s_gym.cache_folder import cache_root
from w4s_gym.config import EnvConfig
from w4s_gym.data import clear_caches, published_ids
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.executors import make_executor
from w4s_gym.executors.keys import env_file
from w4s_gym.journal import RunFolder
from w4s_gym.models import find_model
from w4s_gym.paths import expand_arguments, user_path


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    yield home
    assert not (tmp_path / "~").exists(), "a folder named ~ was made"


@pytest.mark.parametrize("variable", ["W4S_CACHE_DIR", "XDG_CACHE_HOME"])
def test_the_cache_folder(monkeypatch, home, variable):
    monkeypatch.delenv("W4S_CACHE_DIR", raising=False)
    monkeypatch.setenv(variable, "~/kept")
    assert cache_root().is_relative_to(home / "kept")


def test_the_key_file(monkeypatch, home):
    monkeypatch.setenv("W4S_ENV_FILE", "~/keys.env")
    assert env_file() == home / "keys.env"


def test_the_data_folder(monkeypatch, home):
    (home / "data" / "splits").mkdir(parents=True)
    (home / "data" / "splits" / "aflow_w4s_splits.json").write_text(json.dumps({"B": {"validate": [1], "test": [2]}}))
    monkeypatch.setenv("W4S_DATA_DIR", "~/data")
    clear_caches()
    assert published_ids("B") == ([1], [2])


def test_models(home):
    (home / "m.gguf").write_bytes(b"GGUF")
    assert find_model("~/m.gguf") == home / "m.gguf"


def test_folders_and_files_of_executors(home):
    make_executor("openai:m", {"key_env": "", "base_url": "http://x/v1", "cache_folder": "~/replies"})
    assert (home / "replies" / "cache.db").exists()
    make_executor("record:~/r/a.jsonl@sim:gpt-4o-mini")
    assert (home / "r" / "a.jsonl").exists()
    assert make_executor("replay:~/r/a.jsonl").name == "sim:gpt-4o-mini"


def test_the_journal_and_the_run_folder(home):
    EnvConfig(journal="~/j.jsonl")
    env = WorkflowDesignEnv("GSMSymbolic", validation_size=2, test_size=2, journal="~/j.jsonl", seed_workflows=["CoT"])
    env.reset(seed=0)
    env.close()
    assert (home / "j.jsonl").read_text()
    RunFolder.create("~/run", {}, simulated=True)
    assert RunFolder.open("~/run").path == home / "run"


def test_command_lines(home):
    given = ["--run-dir", "~/runs/a", "--report=~/b", "--name=a~b", "x~", "~", "--other", "~nobody-here/x"]
    wanted = ["--run-dir", f"{home}/runs/a", f"--report={home}/b", "--name=a~b", "x~", f"{home}", "--other"]
    assert expand_arguments(given)[:-1] == wanted
    assert expand_arguments(given)[-1] == "~nobody-here/x"


def test_commands_use_them(monkeypatch, home):
    from w4s_gym.command_line import parse
    from w4s_gym.study.config import CompareConfig

    monkeypatch.setattr(sys, "argv", ["compare.py", "--run-dir=~/runs/x"])
    assert parse(CompareConfig, None).run_dir == home / "runs" / "x"


def test_without_a_home_the_path_stays(monkeypatch):
    monkeypatch.setattr(Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    assert user_path("~/x") == Path("~/x")
