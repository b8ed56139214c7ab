"""Benchmarks, executors, algorithms and policies that an installed package announces by entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import w4s_gym

MODULE = """
from w4s_gym.algos.baselines import RandomEdits
from w4s_gym.algos.policies.base import Sample
from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.scoring.number import score_number
from w4s_gym.workflows import seed_workflows

def load(*, size: int = 24):
    return [Item(str(i), f"What is {i} + 1?", str(i + 1)) for i in range(size)]

SUMS = Benchmark("TinySums", "Sums.", "A number.", load, pure_grader(score_number), seed_workflows("number"), 4, 4)

def executor(rest, volume=1):
    assert volume == 1
    return SimulatedExecutor(f"sim:{rest}")

class Search(RandomEdits):
    name = "tiny search"
    def __init__(self, patience=1):
        super().__init__()

class Policy:
    prompt_style = "compact"
    def __init__(self, rest, greeting="hello"):
        self.name, self.greeting = f"tiny_policy:{rest}", greeting
    def sample(self, conversations, m, seed):
        return [[Sample(self.greeting)] * m for _ in conversations]
"""
ENTRY_POINTS = """
[w4s_gym.benchmarks]
TinySums = tiny_w4s_plugin:SUMS
ChainSum = tiny_w4s_plugin:SUMS
Broken = tiny_w4s_plugin:NOTHING
[w4s_gym.executors]
tinyexec = tiny_w4s_plugin:executor
broken = tiny_w4s_plugin:nothing
[w4s_gym.algorithms]
tiny_search = tiny_w4s_plugin:Search
[w4s_gym.policies]
tiny_policy = tiny_w4s_plugin:Policy
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with an installed package, as pip leaves it."""
    site = tmp_path_factory.mktemp("site")
    (site / "tiny_w4s_plugin.py").write_text(MODULE)
    info = site / "tiny_w4s_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-w4s-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return site


def python(site, *arguments, cwd=None):
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=cwd or Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_comparison_uses_what_a_package_announces_workers_included(installed, tmp_path):
    options = "--budget 40 --seeds 1 --validation-size 4 --test-size 4 --workers 1".split()
    run = python(
        installed, "-m", "w4s_gym", "compare", "--env", "W4S-TinySums-v0", "--executor", "tinyexec:gpt-3.5-turbo",
        "--algos", "seed", "tiny_search", "--run-dir", tmp_path / "run", *options,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    table = (tmp_path / "run" / "table.md").read_text()
    assert "W4S-TinySums-v0, executor tinyexec:gpt-3.5-turbo (simulated)" in table and "| tiny search |" in table


CHECKS = """
import gymnasium, w4s_gym
from w4s_gym.algos import make_policy
from w4s_gym.benchmark import get_benchmark
from w4s_gym.errors import ConfigError
from w4s_gym.executors import make_executor
from w4s_gym.study.designers import find_designer

import sys
assert "tiny_w4s_plugin" not in sys.modules, "nothing is loaded before it is used"
assert make_policy("tiny_policy:x", greeting="hi").greeting == "hi"
assert get_benchmark("ChainSum").name == "ChainSum", "nobody replaces what is there"

def refused(act):
    try:
        act()
    except ConfigError as error:
        return str(error)
    raise AssertionError("expected a refusal")

assert "did you mean 'greeting'" in refused(lambda: make_policy("tiny_policy:x", greting="hi"))
assert "did you mean 'volume'" in refused(lambda: make_executor("tinyexec:x", {"volum": 1}))
assert "package tiny-w4s-plugin cannot be loaded" in refused(lambda: make_executor("broken:x"))
assert "did you mean 'tiny_search'" in refused(lambda: find_designer("tiny_serch"))
assert "did you mean 'patience'" in refused(lambda: find_designer("tiny_search").check_options({"patiense": 1}, "x"))
"""


def test_what_is_announced_is_loaded_when_it_is_used_and_wrong_names_are_near(installed):
    run = python(installed, "-c", CHECKS)
    assert run.returncode == 0, run.stderr


def test_they_are_listed_with_their_package_and_a_broken_one_spoils_nothing(installed):
    run = python(installed, "-m", "w4s_gym", "list", "benchmarks", "executors", "designers", "--json")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert {"name": "W4S-TinySums-v0", "items": "24", "data": "here"} in found["benchmarks"]
    assert "cannot be loaded" in next(row["data"] for row in found["benchmarks"] if row["name"] == "W4S-Broken-v0")
    assert {"name": "tinyexec:...", "what": "of the package tiny-w4s-plugin"} in found["executors"]
    assert any(row["name"] == "tiny_search" for row in found["designers"])


def test_nothing_is_announced_here():
    assert "TinySums" not in w4s_gym.benchmark_names()
