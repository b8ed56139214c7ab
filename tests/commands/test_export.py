"""export: what a paper needs of a run."""

import csv
import json

import numpy as np
import pytest

from w4s_gym.cli import main
from w4s_gym.journal import RunFolder
from w4s_gym.study.results import Results
from w4s_gym.study.table import Number, Table

SMALL = "--algos seed random_edits --seeds 2 --budget 60 --validation-size 5 --test-size 6 --workers 0".split()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.raises(SystemExit) as ended:
        main(["compare", *SMALL, "--run-dir", str(folder)])
    assert ended.value.code == 0
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_scores_candidates_curves_tables_and_plots(call, run):
    code, out, _ = call("export", run)
    assert code == 0
    written = {line.removeprefix("wrote ").rsplit("/", 1)[1] for line in out.splitlines()}
    assert {"scores.csv", "candidates.csv", "curves.csv", "learning_curves.pdf", "learning_curves.svg"} <= written
    results = Results.of_run(RunFolder.open(run))
    scores = rows(run / "export" / "scores.csv")
    assert {row["simulated"] for row in scores} == {"True"}
    for algo in ("seed", "random_edits"):
        own = [float(row["score"]) for row in scores if row["designer"] == algo and row["kind"] == "search"]
        assert len(own) == 2 * 6
        assert np.mean(own) == pytest.approx(results.search_scores(algo).mean())
    candidates = rows(run / "export" / "candidates.csv")
    first = [row for row in candidates if row["designer"] == "random_edits" and row["evaluation"] == "0"]
    assert {"item", "status", "score", "part", "draw", "workflow"} <= set(first[0]) and len(first) == 2 * 5
    curve = [row for row in rows(run / "export" / "curves.csv") if row["designer"] == "seed" and row["seed"] == "0"]
    assert next(float(row["value"]) for row in curve if row["figure"] == "best") == pytest.approx(
        results.of("seed")[0].result["curve"][0]["best"]
    )
    latex = next((run / "export").glob("*.tex")).read_text()
    assert r"\toprule" in latex and "best seed & " in latex and "(simulated)" in latex
    assert "(simulated)" in (run / "export" / "learning_curves.svg").read_text()


def test_parquet(call, run, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    code, *_ = call("export", run, "--out", tmp_path / "out", "--format", "parquet")
    assert code == 0
    assert parquet.read_table(tmp_path / "out" / "scores.parquet").num_rows == 2 * 2 * 6


def test_the_run_folder_says_where_it_comes_from(run):
    facts = json.loads((run / "config.json").read_text())
    assert facts["study"] == "compare" and facts["date"].endswith("+00:00") and facts["command"]
    assert len(facts["commit"].rstrip("+")) == 40
    data = facts["data"]["W4S-GSMSymbolic-v0"]
    assert (data["validation"]["items"], data["test"]["items"]) == (5, 6)
    assert len({data[part]["sha256"] for part in data}) == 2


@pytest.mark.parametrize("what", ["nothing", "training"])
def test_what_cannot_be_exported_is_refused(call, tmp_path, what):
    if what == "training":
        (tmp_path / what).mkdir()
        (tmp_path / what / "curve.jsonl").write_text("")
    code, _, err = call("export", tmp_path / what)
    assert code == 2 and "run folder" in err


def test_latex_says_what_the_table_says():
    table = Table("A_B", ["designer", "test % [95%]"], notes=["50%\nof all"])
    table.add("a & b", Number("61.3 [58.0, 64.9]", 61.3, 58.0, 64.9))
    assert table.latex().splitlines()[2:6] == [
        r"\toprule",
        r"designer & test \% [95\%] \\",
        r"\midrule",
        r"a \& b & 61.3 [58.0, 64.9] \\",
    ]
    assert "% 50% of all" in table.latex()
    assert Table.of_data(table.data()).cells == table.cells
