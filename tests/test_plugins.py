import gymnasium as gym
import pytest

import w4s_gym
from w4s_gym.benchmark import get_benchmark
from w4s_gym.errors import ConfigError
from w4s_gym.executors import make_executor
from w4s_gym.plugins import is_plugin, load_plugin
from w4s_gym.registration import find_env

MINE = """
from __future__ import annotations
from dataclasses import dataclass
from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.scoring.number import score_number
from w4s_gym.workflows import seed_workflows

with open(__file__ + ".log", "a") as log:
    log.write("once")

@dataclass(frozen=True)
class Settings:
    size: int = 12

def load(*, size: int = 12):
    return [Item(str(i), f"What is {i} + 1?", str(i + 1)) for i in range(size)]

MINE = Benchmark("PluginMine", "Sums.", "A number.", load, pure_grader(score_number), seed_workflows("number"), 4, 4)
OTHER = Benchmark("ChainSum", "Sums.", "A number.", load, pure_grader(score_number), seed_workflows("number"), 4, 4)
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


def test_a_file_is_run_once_and_gives_the_same_objects(mine, monkeypatch):
    first = load_plugin(f"{mine}:MINE", "a Benchmark")
    monkeypatch.chdir(mine.parent)
    assert load_plugin("mine.py:MINE", "a Benchmark") is first
    assert load_plugin("mine.py:Settings", "a class")().size == 12
    assert mine.with_name("mine.py.log").read_text() == "once"


def test_a_file_hides_no_module_of_the_same_name(tmp_path):
    (tmp_path / "json.py").write_text("LOADS = 3")
    assert load_plugin(f"{tmp_path}/json.py:LOADS", "a number") == 3
    import json

    assert json.loads("[1]") == [1]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (None, "X", "there is no file"),
        ("MINE = 1", "MINNE", r"unknown 'MINNE', did you mean 'MINE'"),
        ("import no_such_module_at_all", "X", "does not run: ModuleNotFoundError: No module named 'no_such_module"),
        ("1 +", "X", "does not run: SyntaxError"),
        ("raise SystemExit(3)", "X", "does not run: SystemExit: 3"),
    ],
)
def test_what_cannot_be_loaded_is_told(tmp_path, text, name, message):
    path = tmp_path / "plug.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_plugin(f"{path}:{name}", "something")


def test_only_a_python_file_with_a_name_is_a_plugin():
    assert is_plugin("a/b.py:C") and is_plugin("C:/a.py:C")
    assert not any(map(is_plugin, ("a.py", "sim:x", "b.txt:C", "openai:gpt.py", "")))


def test_a_benchmark_of_a_file_makes_an_environment(mine):
    spec = f"{mine}:MINE"
    assert find_env(spec) == find_env(spec) == "W4S-PluginMine-v0"
    env = gym.make(find_env(spec), max_turns=1)
    try:
        _, info = env.reset(seed=0)
        assert info["state"]["benchmark"] == "PluginMine"
    finally:
        env.close()


def test_a_benchmark_that_its_file_registers_itself_is_the_same_one(mine):
    text = MINE.replace("PluginMine", "PluginSelf") + (
        "from w4s_gym import register_benchmark, register_environments\n"
        "register_benchmark('PluginSelf', lambda: MINE)\nregister_environments()\n"
    )
    mine.write_text(text)
    assert find_env(f"{mine}:MINE") == w4s_gym.env_id("PluginSelf")


def test_a_benchmark_of_a_file_takes_no_name_that_is_taken_and_is_a_benchmark(mine):
    with pytest.raises(ConfigError, match="another ChainSum"):
        find_env(f"{mine}:OTHER")
    with pytest.raises(ConfigError, match="to be a Benchmark"):
        get_benchmark(f"{mine}:Settings")


@pytest.mark.parametrize("given", ["W4S-GSM9K-v0", "GSM8K", "gsm8k"])
def test_an_unknown_environment_is_refused_with_near_names(given):
    with pytest.raises(ConfigError, match="did you mean") if given != "gsm8k" else pytest.raises(ConfigError):
        find_env(given)


def test_objects_are_taken_as_they_are(mine):
    benchmark = load_plugin(f"{mine}:MINE", "a Benchmark")
    executor = make_executor("sim:gpt-3.5-turbo")
    env = gym.make("W4S-ChainSum-v0", benchmark=benchmark, executor=executor, max_turns=1).unwrapped
    try:
        _, info = env.reset(seed=0)
        assert info["state"]["benchmark"] == "PluginMine" and env.executor is executor
    finally:
        env.close()
    with pytest.raises(ConfigError, match="Executor"):
        gym.make("W4S-ChainSum-v0", executor=object())
