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


@pytest.mark.parametrize("kind", ["tiers", "gain"])
@given(v=accuracy, best=accuracy, last=accuracy, tokens=st.tuples(*[st.integers(0, 10**5)] * 3), price=st.floats(0, 1))
def test_a_price_is_taken_off_whatever_is_compared(kind, v, best, last, tokens, price):
    rule = RewardRule(kind, token_price=price)
    values = [a - price * t for a, t in zip((v, best, last), tokens, strict=True)]
    costs = [rule.cost(t, None) for t in tokens]  # tokens alone have a price: that of dollars may be unknown
    priced = rule(*(a - cost for a, cost in zip((v, best, last), costs, strict=True)))
    assert priced == (reference(*values) if kind == "tiers" else max(values[0] - values[1], -1.0))
    assert priced >= rule.failure
    if not price:
        assert priced == RewardRule(kind)(v, best, last)


def test_dollars_have_a_price_and_must_then_be_known():
    rule = RewardRule(dollar_price=10.0, token_price=1e-5)
    assert rule.cost(1000, 0.002) == pytest.approx(0.03)
    assert (
        rule.price_text
        == "0.01 for every 1,000 executor tokens an item and 0.01 for every $0.001 of executor calls an item"
    )
    with pytest.raises(ConfigError, match="dollar_price needs an executor whose price is known"):
        rule.cost(1000, None)
    assert RewardRule().cost(10**9, None) == 0.0


@pytest.mark.parametrize(
    "options", [{"token_price": -1.0}, {"dollar_price": float("nan")}, {"kind": "relative", "token_price": 1e-5}]
)
def test_prices_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigError, match="price"):
        RewardRule(**options)


def test_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match=r"'tiers', 'relative', 'gain'.*dense"):
        RewardRule(kind="dense")  # type: ignore[arg-type]
