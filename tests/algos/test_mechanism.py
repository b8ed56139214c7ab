"""What an update learns from."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.algos.mechanism import effective_rows, groups_with_spread, new_best_weight
from w4s_gym.algos.trajectory import Row

ROW = Row((), "a", 0.0, 0.0, "design", "evaluated", False, "X", "r/0", 0, 0, 0, True, "tiers")
WEIGHTS = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30)


@given(WEIGHTS, st.floats(1e-3, 1e3))
def test_effective_rows_lie_between_one_and_all_and_do_not_depend_on_the_scale(weights, scale):
    found = effective_rows(weights)
    assert 1 - 1e-9 <= found <= len(weights) + 1e-9
    assert effective_rows([scale * weight for weight in weights]) == pytest.approx(found)
    assert effective_rows([weights[0]] * len(weights)) == pytest.approx(len(weights))


def test_weights_as_large_as_rlao_allows_do_not_overflow():
    assert effective_rows([math.exp(700), math.exp(700), 1.0]) == pytest.approx(2.0)
    rows = [replace(ROW, new_best=True), ROW]
    assert new_best_weight(rows, [math.exp(700), math.exp(700)]) == pytest.approx(0.5)


def test_without_rows_or_weight_there_is_nothing():
    assert effective_rows([]) == effective_rows([0.0]) == new_best_weight([], []) == groups_with_spread([]) == 0.0


def test_spread_is_of_first_attempts_that_were_measured_within_a_state():
    def group(*rewards, **changes):
        return [replace(ROW, reward=reward, **changes) for reward in rewards]

    flat = group(0.0, 0.0) + group(1.0, kind="repair") + group(None)
    assert groups_with_spread(flat) == 0.0
    assert groups_with_spread(flat + group(0.0, 1.0, turn=1)) == 0.5
    assert groups_with_spread(group(0.0) + group(1.0, turn=1)) == 0.0, "one candidate alone cannot differ"
