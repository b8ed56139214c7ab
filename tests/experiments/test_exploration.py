"""The command `exploration.py`: shares of proposals, and going on where it stopped."""

import json
import sys

import exploration
import pytest
from exploration import CELLS, ExplorationConfig, Shares, count_shares, share_table

from w4s_gym.algos.policies.base import Sample
from w4s_gym.results import Candidate, Evaluation, ItemResult
from w4s_gym.usage import Usage

SHOWN = "def solver(agent, task):\n    return 1\n"


def candidate(source, accuracy=None, calls=1, **fields):
    evaluation = None
    if accuracy is not None:
        evaluation = Evaluation((ItemResult("i", "ok", accuracy, usage=Usage(calls=calls)),), 1)
    action = f"```python\n{source}\n```" if source else "prose"
    status = "evaluated" if evaluation else "skipped"
    fields = {"status": status, "workflow": source, "attempts": (((), action),), **fields}
    return Candidate(action, evaluation=evaluation, **fields)


def test_shares_count_what_the_candidates_did():
    new = SHOWN.replace("1", "2")
    shares = count_shares(
        [
            candidate(""),
            candidate(f"# the same\n{SHOWN}", copies=4),
            candidate(new, 1.0, new_best=True),
            candidate(new + "# again\n", 0.0),
            candidate(SHOWN.replace("1", "3"), 0.0, calls=0, repairs=1),
            candidate(new, status="infrastructure"),
        ],
        [SHOWN],
        0.5,
    )
    assert shares == Shares(
        candidates=5, parses=4, differs=3, runs_at_once=2, runs=3, asks=2, distinct=2, new_best=1,
        best=1.0, seed_best=0.5,
    )  # fmt: skip


def test_the_table_has_standard_errors_and_says_when_the_executor_is_simulated():
    shares = Shares(16, 12, 8, 4, 4, 4, 2, 1, 0.5, 0.75)
    table = share_table(ExplorationConfig(), {"guided": shares})
    assert "(simulated)" in table.title and table.rows[0][2:4] == ["75 ± 11", "50 ± 12"]
    assert "(simulated)" not in share_table(ExplorationConfig(executor="local:x"), {}).title


class Writer:
    """A policy that writes numbered workflows which ask nothing."""

    def sample(self, conversations, m, seed):
        return [[Sample(f"```python\n{SHOWN.replace('1', str(i))}```") for i in range(m)] for _ in conversations]


def test_a_cell_is_measured_once_and_read_afterwards(monkeypatch, tmp_path, capsys):
    command = ["exploration.py", "--env", "W4S-GSMSymbolic-v0", "--policy", "writer", "--policy-options", "{}",
               "--env-options", '{"validation_size": 3, "max_repairs": 1}', "--proposals", "3",
               "--out", str(tmp_path)]  # fmt: skip
    monkeypatch.setattr(exploration, "CELLS", {"tiny": ({"prompt_style": "guided", "reject_copies": True}, {})})
    monkeypatch.setattr(exploration, "make_policy", lambda spec, **options: Writer())
    monkeypatch.setattr(sys, "argv", [*command, "--cells", "tiny"])
    assert exploration.main() == 0
    first = capsys.readouterr().out
    assert "tiny" in first and len(json.loads((tmp_path / "tiny" / "candidates.json").read_text())) == 3
    monkeypatch.setattr(exploration, "make_policy", None)
    assert exploration.main() == 0 and capsys.readouterr().out == first


@pytest.mark.parametrize("arguments", [["--cells", "other"], ["--proposals", "0"]])
def test_bad_input_is_one_line(monkeypatch, tmp_path, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["exploration.py", "--out", str(tmp_path), *arguments])
    assert exploration.main() == 2
    assert capsys.readouterr().err.startswith("error: expected proposals >= 1 and cells among 'published'")


def test_every_cell_has_options_that_exist():
    from dataclasses import fields

    from w4s_gym.algos.policies.hf import HFConfig
    from w4s_gym.config import EnvConfig

    for env_options, policy_options in CELLS.values():
        assert set(env_options) <= {f.name for f in fields(EnvConfig)}
        assert set(policy_options) <= {f.name for f in fields(HFConfig)}
