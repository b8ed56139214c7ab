"""A run folder of the code before the studies became a package still reports, and is gone on with."""

import json

import pytest

from w4s_gym.journal import RunFolder
from w4s_gym.study import Comparison
from w4s_gym.study.cells import comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.report import write_report

COMPARE = Study("compare", comparison_cells, write_report)


def test_it_reports_the_same_table(old_run):
    folder, table = old_run("compare")
    assert COMPARE.run(CompareConfig(report=folder)) == 0
    assert (folder / "table.md").read_text() == table
    assert Comparison.read(folder).table == table
    assert "simulated" in table


@pytest.mark.parametrize("lost", ["seed", None])
def test_it_is_gone_on_with_to_the_same_table(old_run, lost):
    folder, table = old_run("compare")
    journal = folder / "journal.jsonl"
    lines = [line for line in journal.read_text().splitlines() if json.loads(line).get("algo") != lost]
    journal.write_text("".join(f"{line}\n" for line in lines))
    assert COMPARE.run(CompareConfig(run_dir=folder, resume=True, workers=0)) == 0
    assert (folder / "table.md").read_text() == table
    assert len(RunFolder.open(folder).records("cell")) == 8
