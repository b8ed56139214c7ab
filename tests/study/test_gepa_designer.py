"""GEPA among the designers of a comparison."""

import pytest

from w4s_gym.errors import ConfigError
from w4s_gym.study import CompareConfig, Comparison, designers

SMALL = CompareConfig(
    algos=("seed", "gepa"),
    seeds=1,
    budget=100,
    validation_size=8,
    test_size=4,
    workers=0,
    env_options={"seed_workflows": ["CoT"]},
    algo_options={"gepa": {"minibatch": 4}},
)


def test_it_takes_part_under_the_same_budget_and_repeats_itself(tmp_path):
    pytest.importorskip("gepa")
    first, again = (Comparison(SMALL).run(tmp_path / name, quiet=True) for name in ("a", "b"))
    assert first.table == again.table
    assert "| GEPA |" in first.table and "(simulated)" in first.table
    (cell,) = first.of("gepa")
    assert 70 <= cell.result["training"]["calls"] <= 130
    assert (tmp_path / "a" / "cells" / "gepa-0" / "rows.jsonl").read_text().count("\n") >= 1
    assert cell.result["search"]["validation"] >= first.of("seed")[0].result["search"]["validation"]


def test_without_its_package_it_is_skipped_with_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(designers, "find_spec", lambda name: None)
    results = Comparison(SMALL).run(tmp_path / "run")
    assert results.algos == ["seed"]
    told = " ".join(capsys.readouterr().out.split())
    assert "GEPA is skipped: it needs the package gepa; install it with `pip install 'w4s-gym[gepa]'`" in told
    alone = CompareConfig(algos=("gepa",), seeds=1, budget=60, validation_size=5, test_size=4, workers=0)
    with pytest.raises(ConfigError, match="at least one designer that is installed"):
        Comparison(alone).run(tmp_path / "other", quiet=True)
