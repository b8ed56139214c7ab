import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.errors import ConfigError
from w4s_gym.reward import RewardRule

accuracy = st.floats(0, 1)


def reference(v, best, last):
    if v > best:
        return 1.0
    return 0.5 if v > last else 0.0


@given(accuracy, accuracy, accuracy)
def test_tiers_equal_the_reference(v, best, last):
    assert RewardRule()(v, best, last) == reference(v, best, last)


@given(st.lists(accuracy, min_size=1, max_size=20), accuracy)
def test_reward_one_exactly_when_the_running_maximum_rises(accuracies, start):
    best = last = start
    for v in accuracies:
        assert (RewardRule()(v, best, last) == 1.0) == (max(best, v) > best)
        best, last = max(best, v), v


def test_options_of_the_published_code():
    assert RewardRule(kind="relative")(0.6, 0.5, 0.1) == pytest.approx(0.2)
    assert RewardRule(kind="relative")(0.6, 0.0, 0.0) == 1.0
    assert RewardRule(kind="relative")(0.0, 0.0, 0.0) == 0.0
    assert RewardRule(floor=0.3)(0.29, 0.0, 0.0) == -0.1
    assert RewardRule(floor=0.3)(0.3, 0.0, 0.0) == 1.0


@given(accuracy, accuracy, accuracy)
def test_the_gain_grades_every_accuracy_also_over_a_best_of_nothing(v, best, last):
    rule = RewardRule(kind="gain")
    assert rule(v, best, last) == v - best
    assert (rule(v, best, last) > 0) == (v > best)
    assert rule(v, 0.0, 0.0) == v


@pytest.mark.parametrize("floor", [None, 0.4])
@pytest.mark.parametrize("kind", ["tiers", "relative", "gain"])
@given(v=accuracy, best=accuracy)
def test_a_new_best_is_what_earns_the_most(kind, floor, v, best):
    rule = RewardRule(kind, floor)
    reward = rule(v, best, best)
    assert rule.is_new_best(v, best) == (reward == 1.0 if kind == "tiers" else reward > 0)


@given(accuracy, accuracy, accuracy)
@pytest.mark.parametrize(
    "rule", [RewardRule(), RewardRule(floor=0.3), RewardRule(kind="relative"), RewardRule(kind="gain")], ids=str
)
def test_nothing_earns_less_than_a_failure(rule, v, best, last):
    assert rule.failure <= rule(v, best, last)


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match=r"'tiers', 'relative', 'gain'.*dense"):
        RewardRule(kind="dense")  # type: ignore[arg-type]
