"""RLAO with weights from a text's group: what weighs how much."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import w4s_gym  # noqa: F401
from w4s_gym.action import format_action
from w4s_gym.algos import group_rlao, rlao
from w4s_gym.algos.base import Batch
from w4s_gym.algos.group_rlao import GroupRLAO, GroupRLAOConfig, group_advantages, tilt
from w4s_gym.algos.mechanism import effective_rows
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.rlao import RLAO
from w4s_gym.algos.trajectory import Row
from w4s_gym.errors import ConfigError

CONTEXT = ({"role": "user", "content": "improve"},)
ROW = Row(CONTEXT, "a", 0.0, 0.0, "design", "evaluated", False, "X", "r/0", 0, 0, 0, True, "tiers")
TEXTS = ("left left", "right right", "up up", "down down", "in in")


@pytest.fixture
def policy(random_llm):
    return HFPolicy(random_llm, config=HFConfig(temperature=1.0, max_new_tokens=8))


def group(*rewards, **changes):
    """First attempts in one state, each another text."""
    return [replace(ROW, action=TEXTS[i], reward=r, candidate=i, **changes) for i, r in enumerate(rewards)]


def make(agent, **options):
    return GroupRLAO.of_options(agent, {"candidates": 3, "learning_rate": 5e-3, **options})


def weights(agent):
    return torch.cat([p.detach().flatten() for p in agent.model.parameters()])


def test_an_advantage_is_the_reward_less_the_mean_of_the_first_attempts_of_the_turn():
    rows = [*group(1.0, 0.0), *group(0.5, 0.5, turn=1), replace(ROW, kind="repair", reward=1.0)]
    assert group_advantages(rows) == [0.5, -0.5, None, None, 0.5]
    assert group_advantages([*rows, *group(1.0, 1.0, episode=1)]) == [0.25, -0.75, None, None, 0.25, 0.25, 0.25]
    other = group(0.0, 1.0, benchmark="Y")
    assert group_advantages([*rows, *other]) == [0.5, -0.5, None, None, 0.5, -0.5, 0.5], "a benchmark of its own"


def test_a_poor_text_among_poor_ones_does_not_stand_above_a_good_one_among_good_ones(policy):
    before = group(-0.3, -0.9, -0.8)
    now = [replace(row, action=f"now {row.action}") for row in group(0.5, 0.3, 0.4, episode=1)]
    found = make(policy, share=0.5).weights([*now, *before])
    assert min(found[:3]) > max(found[3:])


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=40), st.floats(0.02, 0.98), st.floats(0.01, 100))
def test_the_effective_share_is_the_one_asked_for_whatever_the_scale_of_the_rewards(values, share, scale):
    values = [round(value, 3) for value in values]  # a hair's breadth between two values is a tie to floats
    found = effective_rows(tilt(values, share)) / len(values)
    ties = values.count(max(values)) / len(values)
    assert found == pytest.approx(max(share, ties), rel=1e-3)
    assert tilt([scale * value for value in values], share) == pytest.approx(tilt(values, share), abs=1e-6)


def test_better_ones_weigh_more_and_nothing_overflows():
    found = tilt([-1.0, 0.0, 0.2, 900.0, 1000.0], 0.5)
    assert found == sorted(found) and found[-1] == 1.0
    assert tilt([], 0.2) == [] and tilt([0.3], 0.2) == [1.0]


def test_what_differs_by_rounding_is_a_tie():
    assert 0.1 + 0.2 != 0.3
    assert tilt([0.1 + 0.2, 0.3, 0.0], 0.2) == [1.0, 1.0, 0.0]
    assert tilt([0.1 + 0.2, 0.3], 0.2) == [1.0, 1.0]


def test_programs_that_are_worth_the_same_teach_nothing(policy):
    rows = [*group(1.0, 0.0), *group(0.0, 1.0, episode=1)]
    assert make(policy).weights(rows) == [None] * 4
    start = weights(policy)
    assert make(policy).update(Batch(rows, "", 0.0))["rows"] == 0
    assert torch.equal(weights(policy), start)


@pytest.mark.parametrize("scale", [0.05, 1.0, 6.9])
def test_one_setting_means_the_same_under_every_scale_of_reward(policy, scale):
    rewards = (0.9, 0.6, 0.1, -0.2, -0.4)
    plain = make(policy, candidates=5).weights(group(*rewards))
    assert make(policy, candidates=5).weights(group(*(scale * r for r in rewards))) == pytest.approx(plain)


def test_groups_without_spread_are_left_out(policy):
    rows = [*group(1.0, 1.0, 1.0), *group(0.0, 0.0, 1.0, turn=1)]
    found = make(policy).weights(rows)
    assert found[:3] == [None] * 3 and found[5] == max(found[3:]) > 0


def test_equal_programs_count_once_however_they_are_written_down(policy):
    program = "def solver(agent, task):\n    return {'answer': %s}"
    texts = [
        format_action("", program % "1"),
        format_action("Again.", program % "1" + "  # one"),
        format_action("", program % "2"),
    ]
    rows = [
        *(replace(ROW, action=text, reward=1.0, turn=t) for t, text in enumerate(texts)),
        *(replace(ROW, action="words", reward=0.0, turn=t, candidate=1) for t in range(3)),
    ]
    one, again, other, *_ = make(policy).weights(rows)
    assert one == again == pytest.approx(other / 2)


def test_a_program_is_worth_its_mean_advantage(policy):
    """It won once and lost twice; the other one won its only time."""
    rows = [
        *(replace(ROW, action="often", reward=r, turn=t) for t, r in enumerate((1.0, 0.0, 0.0))),
        *(replace(ROW, action="words", reward=1.0 - r, turn=t) for t, r in enumerate((1.0, 0.0, 0.0))),
        replace(ROW, action="once", reward=1.0, turn=3),
        replace(ROW, action="nothing", reward=0.0, turn=3),
    ]
    found = dict(zip([row.action for row in rows], make(policy, share=0.6).weights(rows), strict=True))
    assert found["once"] > 3 * found["words"] > 3 * found["often"] > 0


def test_the_weights_change_and_a_turn_without_a_new_best_teaches(policy):
    start = weights(policy)
    agent = make(policy)
    figures = agent.update(Batch(group(0.5, 0.0, 0.0), "", 0.0))
    assert figures["rows"] == 3 and figures["effective_rows"] == 1.0
    assert not torch.equal(weights(policy), start)


def test_nothing_is_learned_without_spread_or_measurements(policy):
    start = weights(policy)
    agent = make(policy)
    assert agent.update(Batch(group(0.0, 0.0, None), "", 0.0))["rows"] == 0
    assert agent.update(Batch(group(None, None, None, episode=1), "", 0.0))["rows"] == 0
    assert torch.equal(weights(policy), start)


def test_a_resumed_run_ends_with_the_same_weights(random_llm, tmp_path):
    def fresh():
        agent = HFPolicy(random_llm, config=HFConfig(temperature=1.0, max_new_tokens=8))
        return agent, make(agent, replay=2, rows_per_step=2)

    agent, algorithm = fresh()
    algorithm.update(Batch(group(1.0, 0.0, 0.5), "", 0.0))
    algorithm.save(tmp_path)
    other, resumed = fresh()
    resumed.load(tmp_path)
    for learner in (algorithm, resumed):
        learner.update(Batch(group(0.0, 1.0, 0.5, episode=1), "", 0.0))
    assert torch.equal(weights(agent), weights(other))


def test_it_differs_from_rlao_by_its_weights_only(policy):
    assert GroupRLAO.settings(policy) == GroupRLAOConfig()
    policy.tiny = True
    ours, theirs = vars(GroupRLAO.settings(policy)), vars(RLAO.settings(policy))
    assert {name for name in ours if name not in theirs} == {"share"}
    assert {name: ours[name] for name in theirs if name != "tau"} == {n: v for n, v in theirs.items() if n != "tau"}
    assert group_rlao.TINY.epochs == rlao.TINY.epochs


def test_settings_that_cannot_be_used_are_refused(policy):
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(ConfigError, match="share above 0 and below 1"):
            make(policy, share=share)
    with pytest.raises(ConfigError, match="group_rlao: unknown 'tau'"):
        make(policy, tau=0.1)
