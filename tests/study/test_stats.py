import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import w4s_gym.study.stats as s


def runs(rng, level, seeds=5, episodes=4, items=100):
    return (rng.random((seeds, episodes, items)) < level).astype(float)


def test_interquartile_mean_is_the_mean_of_the_middle_half():
    assert s.interquartile_mean(np.array([0.0, 0.4, 0.6, 100.0])) == pytest.approx(0.5)
    assert s.interquartile_mean(np.array([0.2, 0.4])) == pytest.approx(0.3)
    assert s.interquartile_mean(np.array([5.0, 1.0, 2.0, 3.0, 4.0])) == pytest.approx(3.0)
    many = np.random.default_rng(0).random((30, 11))
    assert s.interquartile_mean(many) == pytest.approx(stats.trim_mean(many, 0.25, axis=1))


def test_point_estimates_are_those_of_the_data_and_missing_items_are_left_out():
    scores = np.array([[[1.0, 0.0, np.nan, 1.0]], [[0.0, 0.0, 1.0, 1.0]]])
    estimate = s.HierarchicalBootstrap(4).mean(scores, 0)
    assert estimate.value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert estimate.low <= estimate.value <= estimate.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Runs differ by seed and items by difficulty: both sources of noise must widen the interval."""
    rng = np.random.default_rng(0)
    covered = naive = 0
    trials = 200
    for trial in range(trials):
        difficulty = rng.normal(0, 1.5, 80)
        skill = rng.normal(0, 0.4, 8)
        p = 1 / (1 + np.exp(-(skill[:, None] + difficulty[None, :])))
        scores = (rng.random((8, 1, 80)) < p[:, None, :]).astype(float)
        estimate = s.HierarchicalBootstrap(80, seed=trial, replicates=400).mean(scores, 0)
        covered += estimate.low <= 0.5 <= estimate.high
        flat = s.wilson(scores.sum(), scores.size)
        naive += flat.low <= 0.5 <= flat.high
    assert 0.88 <= covered / trials <= 1.0
    assert naive / trials < 0.75, "an interval that takes all items as independent is too narrow here"


def test_pairing_over_items_narrows_the_interval_of_a_difference():
    rng = np.random.default_rng(1)
    hard = rng.random(200) < 0.5
    a = np.broadcast_to(hard, (5, 1, 200)).astype(float)
    b = a.copy()
    b[..., :10] = 0.0
    boot = s.HierarchicalBootstrap(200)
    paired = boot.difference(a, 0, b, 1)
    alone = boot.mean(a, 0)
    assert paired.value == pytest.approx(hard[:10].mean() * 10 / 200)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


def test_probability_of_improvement_is_the_mann_whitney_statistic():
    rng = np.random.default_rng(2)
    a, b = runs(rng, 0.6, 5, 1), runs(rng, 0.5, 4, 1)
    expected = stats.mannwhitneyu(s.run_means(a).ravel(), s.run_means(b).ravel()).statistic / 20
    assert s.HierarchicalBootstrap(100).probability_of_improvement(a, 0, b, 1).value == pytest.approx(expected)


def test_probability_of_improvement_knows_certainty_and_equality():
    rng = np.random.default_rng(3)
    boot = s.HierarchicalBootstrap(100)
    low, high = runs(rng, 0.2), runs(rng, 0.8)
    assert boot.probability_of_improvement(high, 0, low, 1).low == 1.0
    assert boot.probability_of_improvement(low, 0, high, 1).high == 0.0
    same = boot.probability_of_improvement(low, 0, low, 1)
    assert same.value == pytest.approx(0.5)
    assert same.low < 0.5 < same.high


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), seeds=st.integers(1, 4), episodes=st.integers(1, 3), items=st.integers(1, 12))
def test_improvement_and_difference_are_antisymmetric(seed, seeds, episodes, items):
    rng = np.random.default_rng(seed)
    a, b = runs(rng, 0.5, seeds, episodes, items), runs(rng, 0.6, seeds, episodes, items)
    boot = s.HierarchicalBootstrap(items, replicates=50)
    forth, back = boot.probability_of_improvement(a, 0, b, 1), boot.probability_of_improvement(b, 1, a, 0)
    assert forth.value + back.value == pytest.approx(1)
    assert forth.low + back.high == pytest.approx(1)
    assert boot.difference(a, 0, b, 1).low == pytest.approx(-boot.difference(b, 1, a, 0).high)


def test_the_same_data_give_the_same_interval():
    scores = runs(np.random.default_rng(4), 0.5)
    assert s.HierarchicalBootstrap(100).iqm(scores, 3) == s.HierarchicalBootstrap(100).iqm(scores, 3)


def test_other_items_are_refused():
    with pytest.raises(ValueError, match="expected scores on 5 items; got 4"):
        s.HierarchicalBootstrap(5).mean(np.zeros((1, 1, 4)), 0)


def test_selection_optimism_of_a_known_archive():
    group = [(0.5, 0.4), (0.7, 0.5), (0.6, 0.6)]
    found = s.selection_optimism([group, [(0.9, 0.1)]])
    assert found.workflows == 3
    assert found.selected_validation == 0.7
    assert found.selected_test == 0.5
    assert found.oracle_test == 0.6
    assert found.optimism == pytest.approx(0.2)
    assert found.spearman == pytest.approx(0.5)
    assert s.selection_optimism([[(0.5, 0.5), (0.5, 0.4)]]).spearman is None
    assert s.selection_optimism([[(0.5, 0.5)]]) is None


def test_flip_rate_of_known_orders():
    assert s.flip_rate([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) == 0.0
    assert s.flip_rate([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]) == 1.0
    assert s.flip_rate([0.1, 0.2], [0.2, 0.2]) == 0.5
    assert s.flip_rate([0.1, 0.2, 0.3], [0.2, 0.1, 0.3]) == pytest.approx(1 / 3)
    assert s.flip_rate([0.1, 0.1], [0.2, 0.3]) is None
    with pytest.raises(ValueError, match="two measurements"):
        s.flip_rate([0.1], [0.1, 0.2])


def test_flip_rate_of_pure_noise_is_a_half():
    rng = np.random.default_rng(5)
    assert s.flip_rate(rng.random(300), rng.random(300)) == pytest.approx(0.5, abs=0.05)


def test_wilson_interval_equals_scipy():
    expected = stats.binomtest(37, 90).proportion_ci(method="wilson")
    got = s.wilson(37, 90)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))
    assert math.isnan(s.wilson(0, 0).value)


def test_cost_per_point():
    assert s.cost_per_point(500.0, 0.60, 0.50) == pytest.approx(50.0)
    assert s.cost_per_point(500.0, 0.50, 0.50) is None
    assert s.cost_per_point(None, 0.60, 0.50) is None


def test_a_mean_of_benchmarks_counts_each_alike_and_narrows_with_their_number():
    rng = np.random.default_rng(7)

    def gap(seed, lead):
        a, b = rng.random((4, 2, 50)) < 0.5 + lead, rng.random((4, 2, 50)) < 0.5
        return s.HierarchicalBootstrap(50, seed).differences(a.astype(float), 0, b.astype(float), 1)

    one, other = gap(0, 0.3), gap(1, -0.1)
    assert s.mean_of([one]) == one.estimate()
    assert s.mean_of([one, other]).value == pytest.approx((one.value + other.value) / 2)
    many = s.mean_of([gap(seed, 0.3) for seed in range(8)])
    assert many.high - many.low < 0.6 * (one.estimate().high - one.estimate().low)
