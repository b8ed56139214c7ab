"""The figures of what learners would learn from, on rows whose rewards are known under every kind."""

from dataclasses import replace

import mechanism
import pytest

from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.trajectory import Row, write_rows
from w4s_gym.reward import RewardRule

ROW = Row(({"role": "user", "content": "go"},), "a", 0.0, 0.0, "design", "evaluated", False, "X", "r/0", 0, 0, 0, True,
          "tiers")  # fmt: skip
PLAYED = [[0.2, 0.6, 0.45, None], [0.5, 0.6, 0.7, 0.1]]
"""Accuracies of the candidates of two turns; the best seed workflow has 0.4, and the best candidate advances."""


def episode(kind, number=0):
    rule, best, last, rows = RewardRule(kind), 0.4, 0.4, []
    for turn, accuracies in enumerate(PLAYED):
        chosen = max(a or 0.0 for a in accuracies)
        for i, a in enumerate(accuracies):
            reward = rule.failure if a is None else rule(a, best, last)
            new_best = a is not None and rule.is_new_best(a, best)
            rows.append(replace(ROW, action=f"{turn} {i}", reward=reward, accuracy=a, turn=turn, candidate=i,
                                chosen=a == chosen, reward_kind=kind, new_best=new_best, episode=number))  # fmt: skip
        best, last = max(best, chosen), chosen
    return rows


@pytest.mark.parametrize("earned", ["relative", "gain"])
@pytest.mark.parametrize("kind", ["tiers", "relative", "gain"])
def test_graded_rewards_tell_what_would_have_been_earned_under_the_other_kinds(earned, kind):
    found = mechanism.rewarded(episode(earned), kind)
    assert [row.reward for row in found] == pytest.approx([row.reward for row in episode(kind)])
    assert {row.reward_kind for row in found} == {kind}


def test_what_the_rows_do_not_say_is_not_made_up():
    assert mechanism.rewarded(episode("tiers"), "gain") is None
    unsolved = [replace(row, reward=-1.0, accuracy=0.0) for row in episode("relative")]
    assert mechanism.rewarded(unsolved, "gain") is None
    from_nothing = [replace(row, reward=1.0 if row.accuracy else 0.0) for row in episode("relative")]
    assert mechanism.rewarded(from_nothing, "gain") is None, "the best before them solved nothing"


def test_the_table_has_every_learner_update_and_kind_that_the_rows_know(random_llm, tmp_path, capsys):
    for run, kind in (("a", "relative"), ("b", "tiers")):
        write_rows(tmp_path / "run" / run / "rows.jsonl", [*episode(kind), *episode(kind, 1)])
    files = [[episode(kind), episode(kind, 1)] for kind in ("relative", "tiers")]
    policy = HFPolicy(random_llm, config=HFConfig(max_new_tokens=8))
    table = mechanism.mechanism_table(files, policy)
    assert "(simulated)" in table.title and "Left out: 4 episodes" in table.notes[0]
    rows = {(reward, learner, update): cells for reward, learner, update, *cells in table.rows}
    assert len(rows) == 3 * 3 * 2
    assert rows["tiers", "sft", "1"] == ["2", "3.0", "3.0", "100.0", "100.0", "100.0", "58.3", "100.0"], (
        "three, weighed alike"
    )
    assert rows["tiers", "sft", "2"][-2:] == ["", "0.0"], "it has seen all draws by now"
    assert rows["relative", "sft", "1"][0] == "1"
    assert rows["relative", "group_rlao", "1"][1] == "8.0"
    effective = float(rows["relative", "rlao", "1"][2])
    assert 1 < effective < 8 and rows["relative", "rlao", "2"][1] == "16.0"
    config = mechanism.MechanismConfig((tmp_path / "run",), f"hf:{random_llm}", tmp_path / "table.md")
    assert config.run() == 0
    assert (tmp_path / "table.md").read_text() == table.markdown().replace(policy.name, f"hf:{random_llm}")
    assert "group_rlao" in capsys.readouterr().out


def test_a_program_is_judged_by_draws_that_the_run_has_not_seen():
    lucky, again, later, other = (
        replace(ROW, run=run, episode=number, accuracy=accuracy, reward=1.0, new_best=True)
        for run, number, accuracy in (("sft/0", 0, 0.9), ("rlao/0", 0, 0.9), ("sft/0", 1, 0.5), ("rlao/1", 0, 0.3))
    )

    class Imitates:
        def choose(self, rows):
            return [(row, type("Text", (), {"weight": 1.0})) for row in rows]

        def remember(self, rows):
            pass

    elsewhere = replace(other, benchmark="Y", accuracy=1.0)
    known = mechanism.measured([lucky, again, later, other, elsewhere])
    first, second = mechanism.update_figures(Imitates(), [[lucky], [later]], known)
    assert first[-2:] == (0.4, 1.0), "not what it saw, nor the same draw of another designer, nor another benchmark"
    assert second[-2:] == (0.3, 1.0)


def test_a_folder_without_rows_is_told(tmp_path):
    with pytest.raises(mechanism.ConfigError, match=r"rows\.jsonl"):
        mechanism.MechanismConfig((tmp_path,)).run()
