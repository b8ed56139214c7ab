import doctest
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest

from w4s_gym.command_line import parse
from w4s_gym.errors import ConfigError
from w4s_gym.feedback import Memorising
from w4s_gym.journal import RunFolder
from w4s_gym.study import Comparison, comparison, runner
from w4s_gym.study.cells import comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.inference_tables import memorising_table
from w4s_gym.study.report import write_report
from w4s_gym.study.results import Results
from w4s_gym.study.resuming import resumed

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "compare_algos.py"
COMPARE = Study("compare", comparison_cells, write_report)
SMALL = {
    "budget": 60,
    "candidates": 2,
    "design_episodes": 2,
    "curve_turns": 0,
    "validation_size": 5,
    "test_size": 6,
    "seeds": 2,
    "workers": 0,
}


def small(run_dir, **options):
    return CompareConfig(**{**SMALL, "run_dir": run_dir, **options})


def table(run_dir):
    return (run_dir / "table.md").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, grammar_policy):
    """A run of every kind of designer that needs no training."""
    with pytest.MonkeyPatch.context() as patch:
        grammar_policy(patch)
        path = tmp_path_factory.mktemp("runs") / "whole"
        assert COMPARE.run(small(path, algos=("untrained", "seed", "random_edits", "cot_sc"))) == 0
        return path


def test_the_table_has_every_designer_and_says_simulated(finished):
    text = table(finished)
    for label in ("untrained", "best seed", "random edits", "CoT-SC"):
        assert f"| {label} |" in text
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert len(titles) >= 5
    assert all("simulated" in title for title in titles)
    assert {p.name for p in finished.glob("*.png")} == {"learning_curves.png", "design_curve.png", "front.png"}


def test_the_table_says_under_which_options_it_was_made(tmp_path):
    options = {"reward": {"kind": "gain"}}
    assert COMPARE.run(small(tmp_path / "run", algos=("untrained",), env_options=options, iterations=1)) == 0
    assert "at most 1 iterations" in table(tmp_path / "run")
    assert f"Options of the environment: `{json.dumps(options)}`." in table(tmp_path / "run")
    assert "Options of the algorithms" not in table(tmp_path / "run")


def test_the_report_is_made_again_from_the_journal_alone(finished):
    names = ("table.md", "design_curve.png", "front.png", "best_workflow.py")
    before = {name: (finished / name).read_bytes() for name in names}
    for name in before:
        (finished / name).unlink()
    assert COMPARE.run(CompareConfig(report=finished)) == 0
    assert {name: (finished / name).read_bytes() for name in before} == before


def test_the_best_workflow_is_a_program(finished):
    run = subprocess.run(
        [sys.executable, str(finished / "best_workflow.py")], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    assert re.search(r"answer \(simulated\): \S+", run.stdout)
    refused = subprocess.run(
        [sys.executable, str(finished / "best_workflow.py"), "What is 1 + 1?"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 1
    assert "--executor openai:" in refused.stderr


def test_a_workflow_file_says_what_is_wrong_with_an_executor_config(finished):
    command = [sys.executable, str(finished / "best_workflow.py"), "--executor-config"]
    for wrong, message in (("{", "expected --executor-config to be JSON"), ("[1]", "to be a JSON object")):
        run = subprocess.run([*command, wrong], capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 1
        assert message in run.stderr


def test_every_proposal_and_every_score_is_in_the_journal(finished):
    folder = RunFolder.open(finished)
    cells = folder.records("cell")
    assert {(c["algo"], c["seed"]) for c in cells} == {
        (a, s) for a in ("untrained", "seed", "random_edits", "cot_sc") for s in (0, 1)
    }
    design = next(c["result"]["design"] for c in cells if c["algo"] == "untrained")
    assert len(design["episodes"]) == 2
    assert folder.simulated
    assert (finished / "cells" / "untrained-0" / "rows.jsonl").read_text().count("\n") >= 4


def test_the_report_measures_memorising(finished):
    results = Results.of_run(RunFolder.open(finished))
    for cell in results.of("untrained"):
        cell.result["memorising"] = asdict(Memorising(shown=4.0, shown_items=5, unseen=6.0, unseen_items=10))
        cell.result["design"]["memorising"] = asdict(Memorising(shown=1.0, shown_items=5, unseen=0.0, unseen_items=10))
    made = memorising_table(results)
    assert made.rows == [["untrained", "50.0", "30.0", "20", "40"]]
    assert "(simulated)" in made.title and "do not pay" in made.notes[0]
    for cell in results.of("untrained"):
        del cell.result["memorising"], cell.result["design"]["memorising"]  # as in runs of earlier versions
    assert memorising_table(results) is None


def test_what_trains_runs_first_of_each_seed():
    cells = comparison_cells(CompareConfig(algos=("untrained", "seed", "sft", "rlao"), seeds=2))
    assert [(cell.seed, cell.algo) for cell in cells] == [
        (seed, algo) for seed in (0, 1) for algo in ("sft", "rlao", "untrained", "seed")
    ]


def test_an_interrupted_run_resumes_to_the_same_table(finished, tmp_path, monkeypatch):
    whole = runner.run_jobs
    calls = []

    def interrupted(jobs, workers, done, progress, make_crew):
        def stop_after_three(job, outcome):
            done(job, outcome)
            calls.append(job.name)
            if len(calls) == 3:
                raise KeyboardInterrupt

        whole(jobs, workers, stop_after_three, progress, make_crew)

    monkeypatch.setattr(runner, "run_jobs", interrupted)
    path = tmp_path / "cut"
    config = small(path, algos=("untrained", "seed", "random_edits", "cot_sc"))
    assert COMPARE.run(config) == 130
    assert len(RunFolder.open(path).records("cell")) == 3
    monkeypatch.setattr(runner, "run_jobs", whole)
    assert COMPARE.run(CompareConfig(run_dir=path, resume=True, workers=0)) == 0
    assert table(path) == table(finished)


def test_a_killed_run_resumes_to_the_same_table(tmp_path):
    arguments = ["--algos", "seed", "random_edits", "--workers", "2"]
    for name in ("budget", "candidates", "validation_size", "test_size", "seeds"):
        arguments += [f"--{name.replace('_', '-')}", str(SMALL[name])]

    def command(path, *more):
        return [sys.executable, str(SCRIPT), *arguments, "--run-dir", str(path), *more]

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, timeout=300)
    process = subprocess.Popen(command(tmp_path / "cut"), stdout=subprocess.DEVNULL, start_new_session=True)
    journal = tmp_path / "cut" / "journal.jsonl"
    deadline = time.monotonic() + 240
    while not (journal.exists() and journal.read_bytes().count(b"\n")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with journal.open("a") as file:
        file.write('{"kind": "cell", "algo": "se')  # killed while it wrote
    subprocess.run(command(tmp_path / "cut", "--resume"), check=True, capture_output=True, timeout=300)
    assert table(tmp_path / "cut") == table(tmp_path / "whole")


@pytest.mark.slow
def test_trained_cells_killed_at_ten_random_moments_end_with_the_same_table_and_weights(tmp_path):
    pytest.importorskip("trl")
    arguments = ["--algos", "sft", "rlao", "grpo", "--seeds", "1", "--budget", "300", "--candidates", "3"]
    arguments += ["--design-episodes", "2", "--curve-turns", "0", "--validation-size", "10", "--test-size", "10"]

    def command(path, *more):
        return [sys.executable, str(SCRIPT), *arguments, "--run-dir", str(path), *more]

    started = time.monotonic()
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True, timeout=900)
    whole = time.monotonic() - started
    random, kills = Random(0), 0
    while kills < 10:
        resume = ["--resume"] if (tmp_path / "cut" / "config.json").exists() else []
        process = subprocess.Popen(
            command(tmp_path / "cut", *resume),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(random.uniform(0.2, 0.9) * whole)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    subprocess.run(command(tmp_path / "cut", "--resume"), check=True, capture_output=True, timeout=900)
    assert table(tmp_path / "cut") == table(tmp_path / "whole")
    for algo in ("sft-0", "rlao-0", "grpo-0"):
        weights = [path / "cells" / algo / "state" / "policy" for path in (tmp_path / "cut", tmp_path / "whole")]
        files = sorted(file.name for file in weights[1].glob("*.safetensors"))
        assert files
        assert all((weights[0] / name).read_bytes() == (weights[1] / name).read_bytes() for name in files)


def test_a_failed_cell_is_told_and_tried_again_on_resume(tmp_path, monkeypatch):
    def out_of_order(policy, *arguments):
        raise ConfigError("the meta-agent is out of order")

    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("w4s_gym.study.environment.load_policy", out_of_order)
        assert COMPARE.run(small(path, algos=("seed", "untrained"), seeds=1)) == 1
    assert "out of order" in RunFolder.open(path).records("failure")[0]["error"]
    assert "best seed" in table(path)
    assert COMPARE.run(CompareConfig(run_dir=path, resume=True, workers=0)) == 0
    assert "| untrained |" in table(path)


def test_an_algorithm_of_a_users_file_takes_part(tmp_path):
    source = ROOT / "algos" / "hill_climber.py"
    mine = tmp_path / "mine.py"
    mine.write_text(source.read_text())
    path = tmp_path / "run"
    assert COMPARE.run(small(path, algos=("seed", f"{mine}:HillClimber"), seeds=1)) == 0
    assert "| hill_climber |" in table(path)
    assert len([line for line in source.read_text().splitlines() if line.strip()]) < 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": "W4S-Nothing-v0"}, "W4S-GSMSymbolic-v0"),
        ({"executor": "sim:no-such"}, "no-such"),
        ({"executor": "telepathy"}, "openai:<model>"),
        ({"algos": ("rlao", "magic")}, "random_edits"),
        ({"policy": "openai:gpt-4o", "algos": ("rlao",)}, "weights"),
        ({"env_options": {"no_such_option": 1}}, "no_such_option"),
        ({"validation_size": 100_000}, "validation_size"),
    ],
)
def test_bad_input_is_told_before_anything_is_made(tmp_path, capsys, options, message):
    path = tmp_path / "run"
    assert COMPARE.run(small(path, **options)) == 2
    assert message in " ".join(capsys.readouterr().out.split())
    assert not path.exists()


def test_a_folder_that_cannot_be_used_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert COMPARE.run(small(tmp_path / "file" / "run", algos=("seed",))) == 2
    assert "run folder that can be written" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    assert COMPARE.run(small(tmp_path / "other", algos=("seed",))) == 2
    assert (tmp_path / "other" / "notes.txt").read_text() == "mine"
    assert COMPARE.run(CompareConfig(report=tmp_path / "other")) == 2


@pytest.mark.parametrize(
    "options",
    [{"seeds": 0}, {"algos": ()}, {"env_options": "{}"}, {"algo_options": [1]}, {"algo_options": {"rlao": 1}}],
)
def test_values_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        CompareConfig(**options)


def test_replies_of_a_real_executor_are_kept_where_the_command_line_says(tmp_path):
    def executor(**options):
        return CompareConfig(**options).environment_options(replies=tmp_path).get("executor_config")

    assert executor() == {"cache_folder": str(tmp_path), "cache": "write"}
    assert executor(cache="read") == {"cache_folder": str(tmp_path), "cache": "read"}
    assert executor(cache="off") is None
    own = {"executor_config": {"base_url": "http://localhost:1/v1", "cache_folder": "elsewhere"}}
    assert executor(env_options=own) == {
        "base_url": "http://localhost:1/v1",
        "cache_folder": "elsewhere",
        "cache": "write",
    }


def test_a_resumed_run_keeps_its_configuration(finished):
    stored = RunFolder.open(finished).config
    assert resumed(stored, CompareConfig(resume=True)).seeds == 2
    with pytest.raises(ConfigError, match="--budget 60; it cannot go on with 7"):
        resumed(stored, CompareConfig(budget=7))


def test_the_curve_over_candidates_is_the_expected_best_of_k(finished):
    """Against a count of all subsets."""
    from itertools import combinations

    results = Results.of_run(RunFolder.open(finished))
    cell = results.of("untrained")[0]
    start = cell.test(cell.result["design"]["start"]["workflow"])
    pairs = [
        (p["accuracy"], cell.test(p["workflow"])) if p["workflow"] else (-1.0, start)
        for owner, p in results.single_proposals("untrained")
        if owner is cell
    ]
    assert len(pairs) == 2
    if pairs[0][0] != pairs[1][0]:
        subsets = [max(c, key=lambda p: p[0])[1] for c in combinations(pairs, 2)]
        assert results.best_of_candidates("untrained", 2)[0] == pytest.approx(sum(subsets) / len(subsets))
    assert results.best_of_candidates("untrained", 1)[0] == pytest.approx(sum(t for _, t in pairs) / 2)


def test_options_are_json_on_the_command_line_and_in_the_run_folder(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["compare", "--algo-options", '{"rlao": {"tau": 0.2}}'])
    config = parse(CompareConfig, "")
    assert config.algo_options == {"rlao": {"tau": 0.2}}
    assert config.measured["algo_options"] == '{"rlao": {"tau": 0.2}}'
    assert CompareConfig.of_run(config.measured) == config
    for wrong in ("{", "[1]"):
        monkeypatch.setattr(sys, "argv", ["compare", "--env-options", wrong])
        with pytest.raises(SystemExit):
            parse(CompareConfig, "")
        assert "JSON" in capsys.readouterr().err


def test_a_notebook_runs_a_comparison_and_goes_on_with_it(tmp_path):
    config = CompareConfig(**{**SMALL, "seeds": 1, "algos": ("seed", "untrained")})
    results = Comparison(config).run(tmp_path / "run", quiet=True)
    assert results.algos == ["untrained", "seed"] and results.simulated
    assert results.table == table(tmp_path / "run")
    journal = (tmp_path / "run" / "journal.jsonl").read_bytes()
    assert Comparison(config).run(tmp_path / "run", quiet=True).table == results.table
    assert (tmp_path / "run" / "journal.jsonl").read_bytes() == journal, "finished cells were run again"
    with pytest.raises(ConfigError, match="it cannot go on with"):
        Comparison(CompareConfig(**{**SMALL, "algos": ("seed",)})).run(tmp_path / "run", quiet=True)


def test_the_example_of_the_documentation_holds():
    ran = doctest.testmod(comparison)
    assert ran.attempted and not ran.failed


def test_the_first_cause_is_told_when_no_cell_finished(tmp_path, monkeypatch):
    def out_of_order(policy):
        raise ConfigError("the meta-agent is out of order")

    monkeypatch.setattr("w4s_gym.study.environment.load_policy", out_of_order)
    with pytest.raises(ConfigError, match="untrained/0: ConfigError: the meta-agent is out of order"):
        Comparison(CompareConfig(**{**SMALL, "algos": ("untrained",)})).run(tmp_path / "run", quiet=True)


def test_figures_are_plain_json(finished):
    figures = json.loads((finished / "figures.json").read_text())
    assert figures["simulated"] is True
    test = next(row for row in figures["tables"][0]["rows"] if row[0] == "untrained")[2]
    assert test["low"] <= test["value"] <= test["high"]
    assert test["text"].startswith(f"{test['value']:.1f} [")
