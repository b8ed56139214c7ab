"""Money and resume: what a run that goes on may change, the least cap, and one reply cache for all cells."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from w4s_gym.calibration.recorded import read_run
from w4s_gym.command_line import parse
from w4s_gym.commands.compare import Compare
from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.study import Comparison, report
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.resuming import resumed

SMALL = "--budget 60 --candidates 2 --validation-size 4 --test-size 5 --workers 0".split()


def compare(*arguments):
    return parse(Compare, "", arguments=[*SMALL, *map(str, arguments)]).run()


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    monkeypatch.setattr(report.Figures, "draw", lambda *_: [])


@pytest.fixture
def small(tmp_path):
    """A finished run of one seed with a cap."""
    assert (
        compare("--algos", "seed", "random_edits", "--seeds", 1, "--max-dollars", 1, "--run-dir", tmp_path / "run") == 0
    )
    return tmp_path / "run"


def test_seeds_and_designers_are_added_and_the_table_is_that_of_one_run(small, tmp_path, capsys):
    for more in (("--seeds", 2, "--max-dollars", 5), ("--algos", "cot_sc", "random_edits", "seed", "--max-dollars", 9)):
        assert compare("--resume", "--run-dir", small, *more) == 0, said(capsys)
    whole = ("--algos", "seed", "random_edits", "cot_sc", "--seeds", 2, "--max-dollars", 9)
    assert compare(*whole, "--run-dir", tmp_path / "whole") == 0
    assert (small / "table.md").read_text() == (tmp_path / "whole" / "table.md").read_text()
    folder = RunFolder.open(small)
    assert len(folder.records("cell")) == 6
    assert [record["now"] for record in folder.records("extended")] == [
        {"seeds": 2, "max_dollars": 5.0},
        {"algos": ["seed", "random_edits", "cot_sc"], "max_dollars": 9.0},
    ]


def test_seeds_count_from_the_first_one_and_a_run_of_them_goes_on(tmp_path, capsys):
    first = ("--algos", "random_edits", "--first-seed", 100)
    assert compare(*first, "--seeds", 1, "--run-dir", tmp_path / "run") == 0
    assert compare("--resume", "--run-dir", tmp_path / "run", "--seeds", 2) == 0, said(capsys)
    assert compare(*first, "--seeds", 2, "--run-dir", tmp_path / "whole") == 0
    table = (tmp_path / "whole" / "table.md").read_text()
    assert (tmp_path / "run" / "table.md").read_text() == table and "\n2 seeds from 100; budget" in table
    assert [r["seed"] for r in RunFolder.open(tmp_path / "run").records("cell")] == [100, 101]
    capsys.readouterr()
    assert compare("--resume", "--run-dir", tmp_path / "run", "--first-seed", 0) == 2
    assert "started with --first-seed 100; it cannot go on with 0" in said(capsys)


def test_a_run_of_before_there_was_a_first_seed_began_with_0():
    stored = {key: value for key, value in CompareConfig(seeds=2).measured.items() if key != "first_seed"}
    assert list(CompareConfig.of_run(stored).seed_numbers) == [0, 1]
    with pytest.raises(ConfigError, match="--first-seed of at least 0"):
        CompareConfig(first_seed=-1)


def test_a_default_that_is_named_is_taken_for_what_was_said(small, capsys):
    """Three seeds are the default: the run has one, and `--seeds 3` is not the same as nothing."""
    assert compare("--resume", "--run-dir", small, "--seeds", 3) == 2
    assert "has to be at least 3" in said(capsys)
    assert compare("--resume", "--run-dir", small, "--seeds", 3, "--max-dollars", 3) == 0
    assert len(RunFolder.open(small).records("cell")) == 6


STORED = CompareConfig(algos=("seed", "cot_sc"), seeds=2, max_dollars=2.0, racing=False).measured


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 1}, "--seeds 2; it cannot go on with 1, only with more"),
        ({"algos": ("seed",)}, "--algos .*name all of its designers"),
        ({"max_dollars": 1.0}, "--max-dollars 2.0; it cannot go on with 1.0, only with more"),
        ({"racing": True}, "--racing False"),
        ({"budget": 4_000 + 1}, "--budget 4000"),
        ({"algo_options": {"cot_sc": {"tokens_per_item": 5.0}}}, "for designers that are added"),
        ({"seeds": 3}, "--max-dollars 2 for 4 cells; with 6 cells it has to be at least 3"),
        ({"algos": ("seed", "cot_sc", "adas"), "max_dollars": 9.0}, "--algos adas cannot be added"),
    ],
)
def test_whatever_else_is_changed_is_refused_by_name(change, message):
    given = CompareConfig(**change, given=frozenset(change))
    with pytest.raises(ConfigError, match=message):
        resumed(STORED, given)


def test_a_cap_may_be_raised_lifted_and_designers_bring_their_options():
    start = CompareConfig(algos=("seed",), max_dollars=2.0).measured
    for change in ({"max_dollars": 0.0}, {"max_dollars": 9.0}):
        assert resumed(start, CompareConfig(**change, given=frozenset(change))).max_dollars == change["max_dollars"]
    more = {"algos": ("seed", "rlao"), "max_dollars": 4.0, "algo_options": {"rlao": {"tau": 1}}}
    assert resumed(start, CompareConfig(**more, given=frozenset(more))).algo_options == {"rlao": {"tau": 1}}


def test_the_latest_run_that_agrees_is_gone_on_with(small, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    small.rename(tmp_path / "runs" / "compare__mine")
    assert compare("--resume", "--algos", "seed", "random_edits", "--seeds", 2, "--max-dollars", 2) == 0
    assert "compare__mine" in said(capsys)
    assert compare("--resume", "--test-size", 7) == 2
    assert "--test-size 5; it cannot go on with 7" in said(capsys)


def test_a_script_adds_seeds_too(tmp_path):
    def results(seeds):
        config = CompareConfig(algos=("seed",), seeds=seeds, budget=30, validation_size=4, test_size=4, workers=0)
        return Comparison(config).run(tmp_path / "run", quiet=True)

    assert results(1).search_scores("seed").shape[0] == 1
    assert results(2).search_scores("seed").shape[0] == 2
    with pytest.raises(ConfigError, match="--seeds 2; it cannot go on with 1"):
        results(1)


def test_a_cap_that_can_measure_nothing_is_refused_with_the_least_that_works(tmp_path, capsys):
    options = ("--algos", "seed", "random_edits", "--seeds", 1, "--run-dir", tmp_path / "run")
    assert compare(*options, "--max-dollars", 0.0001) == 2
    least = re.search(r"--max-dollars of at least ([\d.]+); got 0.0001", said(capsys))[1]
    assert not (tmp_path / "run").exists()
    assert compare(*options, "--plan") == 0
    assert f"the least --max-dollars that works is about {least}" in said(capsys)
    assert compare(*options, "--max-dollars", least) == 0, said(capsys)
    cells = RunFolder.open(tmp_path / "run").records("cell")
    assert len(cells) == 2
    assert compare("--resume", "--run-dir", tmp_path / "run", "--max-dollars", 10 * float(least)) == 0


def test_a_cap_needs_a_price(tmp_path, capsys, asking):
    options = ("--algos", "seed", "--seeds", 1, "--run-dir", tmp_path / "run", "--executor", f"{asking}:Unpriced")
    assert compare(*options, "--max-dollars", 1) == 2
    assert "needs a known price" in said(capsys) and not (tmp_path / "run").exists()


ASKING = """
import json
from dataclasses import replace
from w4s_gym.executors.sim import SimulatedExecutor

class Asking(SimulatedExecutor):
    identity = "asking"
    def __init__(self):
        super().__init__("sim:gpt-3.5-turbo")
        self.simulated = False
    def batch_size(self): return 1000
    def repeats(self, request): return False
    async def ask(self, request):
        with open(__file__ + ".log", "a") as log:
            for k in range(request.n):
                asked = [list(map(dict, request.messages)), request.temperature, request.draw, request.sample_index + k]
                log.write(json.dumps(asked) + "\\n")
        return await SimulatedExecutor.complete(self, request)

class Unpriced(Asking):
    async def complete(self, request):
        reply = await super().complete(request)
        return replace(reply, usage=replace(reply.usage, dollars=None))
"""


@pytest.fixture
def asking(tmp_path):
    """An executor that can be cached and writes down what it is asked."""
    (tmp_path / "asking.py").write_text(ASKING)
    return tmp_path / "asking.py"


def test_no_cell_asks_again_what_another_has_asked(tmp_path, asking):
    options = ("--algos", "seed", "random_edits", "--seeds", 1, "--executor", f"{asking}:Asking")
    assert compare(*options, "--run-dir", tmp_path / "run") == 0
    asked = Counter(asking.with_name("asking.py.log").read_text().splitlines())
    assert asked and set(asked.values()) == {1}
    assert (tmp_path / "run" / "replies").is_dir()
    first = next(r["result"] for r in RunFolder.open(tmp_path / "run").records("cell"))
    assert first["training"]["calls"] > 0
    assert all(json.loads(line)[3] >= 0 for line in asked)
    # What was measured of a real executor can be fitted, from the folder or its journal.
    recorded = read_run(tmp_path / "run")
    assert len(recorded) >= 3 and all(len(workflow.scores) == 4 for workflow in recorded)
    assert read_run(tmp_path / "run" / "journal.jsonl") == recorded


def test_a_simulated_comparison_is_not_fitted_again(small):
    with pytest.raises(ConfigError, match="real executor"):
        read_run(small)
    script = Path(__file__).parents[2] / "experiments" / "simulator" / "fit.py"
    command = [sys.executable, str(script), "--journal", str(small), "--benchmark", "GSMSymbolic", "--out", "x.json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 2 and run.stderr.startswith("error: expected a run of a real executor")
