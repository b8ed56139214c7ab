"""compare, report, show, view and diff, on small simulated runs."""

import shutil
from pathlib import Path

import pytest

from w4s_gym.cli import main
from w4s_gym.commands.diff import diff_tables
from w4s_gym.commands.finished import read_comparison

SMALL = "--algos seed random_edits --seeds 2 --budget 60 --validation-size 5 --test-size 12 --workers 0".split()


def compare(folder, *more):
    with pytest.raises(SystemExit) as ended:
        main(["compare", *SMALL, "--run-dir", str(folder), *more])
    return ended.value.code


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    assert compare(folder) == 0
    return folder


@pytest.fixture(scope="module")
def better(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "second"
    assert compare(folder, "--executor", "sim:gpt-4o-mini") == 0
    return folder


def test_a_comparison_is_shown_and_reported_with_the_same_figures(call, run, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    (folder / "table.md").unlink()
    code, shown, _ = call("show", folder)
    assert code == 0 and "4 of 4 cells are finished" in shown and "(simulated)" in shown
    assert not (folder / "table.md").exists()
    code, reported, _ = call("report", folder)
    assert code == 0 and (folder / "table.md").read_text() == (run / "table.md").read_text()
    row = next(line for line in shown.splitlines() if line.startswith(" random edits"))
    assert row in reported


def test_a_comparison_is_viewed(call, run):
    code, out, _ = call("view", run)
    page = Path(out.removeprefix("wrote ").strip())
    assert code == 0 and "</html>" in page.read_text()


def test_plots_that_nothing_can_draw_do_not_cost_the_tables(call, run, tmp_path, lacking):
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    (folder / "table.md").unlink()
    lacking("matplotlib", "w4s_gym.study.draw")
    lacking("matplotlib")
    import sys

    sys.modules.pop("w4s_gym.study.draw")
    code, out, _ = call("report", folder)
    assert code == 0 and "pip install 'w4s-gym[experiments]'" in out and (folder / "table.md").exists()


def test_a_run_differs_from_itself_in_nothing(call, run):
    code, out, _ = call("diff", run, run, "--designers", "seed")
    assert code == 0 and "+0.0" in out and "Items that changed" not in out and "random edits" not in out


def test_a_better_executor_shows_item_by_item(call, run, better):
    code, out, _ = call("diff", run, better, "--designers", "seed", "--items", "3")
    forward = next(line for line in out.splitlines() if line.startswith(" best seed"))
    _, back, _ = call("diff", better, run, "--designers", "seed", "--items", "3")
    backward = next(line for line in back.splitlines() if line.startswith(" best seed"))
    gain, loss = (float(line.split("]")[2].split()[0]) for line in (forward, backward))
    assert code == 0 and gain > 0 and loss == -gain
    assert 1 <= len(out.partition("Items that changed most")[2].split("best seed")) - 1 <= 3


def test_a_designer_of_one_run_stands_against_another_of_the_other(call, run, tmp_path):
    other = tmp_path / "other"
    assert compare(other, "--algos", "seed", "direct", "--seeds", "1") == 0
    assert call("diff", run, other, "--designers", "seed=direct")[0] == 0
    first, second = (read_comparison(folder)[1] for folder in (run, other))

    def row(one, another, pair):
        label, *figures, better, worse = diff_tables(one, another, [pair], 0)[0].rows[0]
        return label, [figure.split()[0] for figure in figures], better, worse

    label, (seed, asked, gain), better, worse = row(first, second, ("seed", "direct"))
    assert label == f"{first.label('seed')}, {second.label('direct')}" and float(gain) != 0
    assert (
        seed == row(first, first, ("seed", "seed"))[1][0] and asked == row(second, second, ("direct", "direct"))[1][0]
    )
    back = row(second, first, ("direct", "seed"))
    assert float(back[1][2]) == -float(gain) and back[2:] == (worse, better)


def test_runs_that_cannot_be_paired_are_refused(call, run, tmp_path):
    other = tmp_path / "other"
    assert compare(other, "--env", "W4S-ChainSum-v0", "--algos", "seed", "--seeds", "1") == 0
    code, _, err = call("diff", run, other)
    assert code == 2 and "the same items" in err and "W4S-ChainSum-v0" in err
    code, _, err = call("diff", run, run, "--designers", "sed")
    assert code == 2 and "did you mean 'seed'" in err
    code, _, err = call("diff", run, run, "--designers", "seed=rlao")
    assert code == 2 and "'rlao'" in err and "random_edits" in err


@pytest.mark.parametrize("command", ["show", "report", "view"])
def test_what_is_no_run_folder_is_refused(call, tmp_path, command):
    code, out, err = call(command, tmp_path / "nothing")
    assert (code, out) == (2, "") and "run folder" in err


@pytest.mark.parametrize("command", ["report", "view"])
def test_another_study_is_told_apart(call, command):
    code, _, err = call(command, Path(__file__).parents[1] / "study" / "data" / "ablations")
    assert code == 2 and "of another study, ablations: use python experiments/ablations.py --report" in err


def test_the_table_of_another_study_is_shown(call):
    code, out, _ = call("show", Path(__file__).parents[1] / "study" / "data" / "ablations")
    assert code == 0 and "Ablations of rlao" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--algo-options", '{"rla": {"tau": 1}}'), "did you mean 'rlao'"),
        (("--algo-options", '{"random_edits": {"candidate": 1}}'), "did you mean 'candidates'"),
        (("--algo-options", '{"seed": {"x": 1}}'), "seed takes no options"),
        (("--algos", "random_edit"), "did you mean 'random_edits'"),
        (("--env", "W4S-GSMSymbolik-v0"), "did you mean 'W4S-GSMSymbolic-v0'"),
        (("--env", "mine.py:MINE"), "no file mine.py"),
        (("--executor", "mine.py:Mine"), "no file mine.py"),
        (("--seeds", "0"), "at least 1"),
        (("--env-options", '{"validation_sise": 1}'), "did you mean 'validation_size'"),
    ],
)
def test_bad_options_are_refused_before_a_folder_is_made(call, tmp_path, arguments, message):
    code, out, err = call("compare", *SMALL, "--run-dir", tmp_path / "run", *arguments)
    assert code != 0 and message in " ".join((out + err).split())
    assert not (tmp_path / "run").exists()


def test_a_meta_agent_whose_packages_lack_is_told_before_anything_is_made(call, tmp_path, monkeypatch):
    from w4s_gym.study import cells

    monkeypatch.setattr(cells, "find_spec", lambda name: None)
    code, out, err = call("compare", *SMALL, "--algos", "rlao", "--run-dir", tmp_path / "run")
    assert code == 2 and "pip install 'w4s-gym[train]'" in " ".join((out + err).split())
    assert not (tmp_path / "run").exists()


def test_plugins_take_part_in_worker_processes(call, tmp_path, questions, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("new", questions, "--name", "InWorkers")
    (tmp_path / "mine.py").write_text(
        "from w4s_gym.executors.sim import SimulatedExecutor\n"
        "class Mine(SimulatedExecutor):\n"
        "    def __init__(self): super().__init__('sim:gpt-3.5-turbo')\n"
    )
    folder = tmp_path / "run"
    code, out, err = call(
        "compare", *SMALL, "--env", "my_task.py:BENCHMARK", "--executor", "mine.py:Mine", "--workers", "2",
        "--algos", "seed", "--run-dir", folder,
    )  # fmt: skip
    assert code == 0, out + err
    assert "my_task.py:BENCHMARK" in (folder / "table.md").read_text()


def test_show_prints_a_training_says_simulated_and_passes_over_a_torn_line(call, tmp_path):
    point = '{"iteration": 0, "simulated": true, "calls": 12, "reward": 0.5, "best": 0.25}\n'
    (tmp_path / "curve.jsonl").write_text(point + '{"iterat')
    with pytest.warns(UserWarning, match="last line"):
        code, out, _ = call("show", tmp_path)
    assert code == 0 and "(simulated)" in out and "0.250" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--executor", "sim:gpt-4o-min"), "did you mean 'gpt-4o-mini'"),
        (("--executor", "locl:qwen"), "did you mean 'local'"),
        (("--policy", "tinny", "--algos", "untrained"), "did you mean 'tiny'"),
        (("--policy", "hf:no/such/model", "--algos", "untrained"), "no/such/model"),
        (("--env-options", '{"foo": 1}'), "unknown 'foo'"),
        (("--env-options", '{"validation_size": -3}'), "at least 1; got -3"),
    ],
)
def test_more_bad_options_are_refused_before_a_folder_is_made(call, tmp_path, arguments, message):
    code, out, err = call("compare", *SMALL, "--run-dir", tmp_path / "run", *arguments)
    assert code != 0 and message in " ".join((out + err).split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--env", "W4S-GSMSymbolik-v0"), "did you mean 'W4S-GSMSymbolic-v0'"),
        (("--algo", "rla"), "rlao"),
        (("--algo-options", '{"tauu": 1}'), "did you mean 'tau'"),
        (("--env-options", '{"foo": 1}'), "unknown 'foo'"),
        (("--executor", "sim:gpt-4o-min"), "did you mean 'gpt-4o-mini'"),
        (("--tracker", "trackio"), "expected --track"),
    ],
)
def test_train_refuses_bad_options_before_it_loads_or_makes_anything(call, tmp_path, arguments, message, monkeypatch):
    monkeypatch.setattr("w4s_gym.commands.train.make_policy", lambda *_, **__: pytest.fail("loaded"))
    code, out, err = call("train", "--out", tmp_path / "run", *arguments)
    assert code != 0 and message in " ".join((out + err).split())
    assert not (tmp_path / "run").exists()
