import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from w4s_gym.errors import ConfigError
from w4s_gym.racing import Race, RacingRule, Saving, _beta_binomial
from w4s_gym.reward import RewardRule


def population(rng, items, spread, candidates):
    """Candidates over items of different difficulty; the reference is one of the better ones."""
    difficulty = rng.normal(0.8, 1.6, items)
    skills = rng.normal(0, spread, candidates)
    p = 1 / (1 + np.exp(-(skills[:, None] + difficulty)))
    scores = (rng.random(p.shape) < p).astype(float)
    reference = (rng.random(items) < 1 / (1 + np.exp(-(np.quantile(skills, 0.7) + difficulty)))).astype(float)
    return scores, reference


@pytest.mark.parametrize("informative", [False, True])
def test_tiers_rarely_flip_and_items_are_saved(run_race, informative):
    """Under 1% of the decisions may differ from the full run; losers must cost clearly less."""
    rng = np.random.default_rng(0)
    flips = total = used = losers = 0
    for _ in range(12):
        scores, reference = population(rng, 128, 0.9, 40)
        archive = scores[:12] if informative else []
        race = Race(reference, archive, RacingRule())
        for candidate in scores[12:]:
            count, survived = run_race(race, candidate)
            won = candidate.sum() > reference.sum()
            flips += won and not survived
            assert survived or count < 128
            total += 1
            used += 0 if won else count
            losers += not won
    assert flips / total < 0.01
    assert used / losers < (85 if informative else 100)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(2, 40), share=st.floats(0, 1))
def test_a_candidate_that_cannot_win_is_given_up_and_one_that_has_won_never_is(seed, items, share):
    rng = np.random.default_rng(seed)
    reference = (rng.random(items) < share).astype(float)
    race = Race(reference, [], RacingRule(look_every=1))
    seen = {}
    for position in range(items):
        seen[position] = float(rng.random() < 0.5)
        best_case = sum(seen.values()) + items - len(seen)
        if best_case <= reference.sum():
            assert race.gives_up(seen)
        if sum(seen.values()) > reference.sum():
            assert race.chance(seen) == pytest.approx(1.0)
            assert not race.gives_up(seen)


@settings(max_examples=60, deadline=None)
@given(
    reference=st.lists(st.sampled_from([0.0, 0.1, 0.3, 1.0]), min_size=4, max_size=40),
    share=st.floats(0, 1),
    seed=st.integers(0, 10_000),
)
def test_a_candidate_that_is_given_up_earns_nothing(reference, share, seed):
    rng = np.random.default_rng(seed)
    race = Race(reference, [], RacingRule(look_every=1, limit=0.4))
    seen = {}
    for position in range(len(reference)):
        seen[position] = float(rng.random() < share)
        if race.gives_up(seen):
            last = sum(reference) / len(reference)  # as `Evaluation.accuracy` has it
            assert RewardRule()(race.expected(seen), best=last, last=last) == 0.0
            return


def test_the_prediction_is_the_beta_binomial_of_one_stratum():
    """All items in one stratum: the convolution is a single beta-binomial tail."""
    race = Race([1.0] * 10, [], RacingRule(prior=4.0))
    race._threshold = 7.0
    seen = {0: 1.0, 1: 0.0, 2: 1.0}
    expected = stats.betabinom.sf(5, 7, 4 * 0.75 + 2, 4 * 0.25 + 1)
    assert race.chance(seen) == pytest.approx(expected)


def test_the_prediction_is_paired():
    """Failing where the reference fails says less than failing where it succeeds."""
    reference = [1.0] * 32 + [0.0] * 32
    race = Race(reference, [], RacingRule())
    on_hard = {i: 0.0 for i in range(32, 40)}
    on_easy = {i: 0.0 for i in range(8)}
    assert race.chance(on_hard) > 5 * race.chance(on_easy)


def test_informative_items_come_first_once_enough_workflows_are_known():
    archive = [[1.0, k % 2, 0.0, float(k < 9)] for k in range(10)]
    assert Race([1.0] * 4, archive[:9], RacingRule()).order == [0, 1, 2, 3]
    assert Race([1.0] * 4, archive, RacingRule()).order == [1, 3, 0, 2]


def test_fractional_scores_are_accepted():
    race = Race([0.5] * 20, [], RacingRule())
    assert 0 < race.chance({0: 0.4, 1: 0.7}) < 1
    assert race.gives_up({i: 0.0 for i in range(16)})


def test_bad_numbers_are_refused():
    with pytest.raises(ConfigError, match="limit"):
        RacingRule(limit=0.9)


def test_the_saving_reads_well():
    assert Saving(1000, 600, 7, 10).text() == "racing stopped 7 of 10 candidates and ran 600 of 1,000 items (40% saved)"


@pytest.mark.parametrize(("n", "a", "b"), [(1, 0.04, 1.96), (7, 3.5, 0.5), (128, 20.0, 41.5)])
def test_the_beta_binomial_is_that_of_scipy(n, a, b):
    assert _beta_binomial(n, a, b) == pytest.approx(stats.betabinom.pmf(np.arange(n + 1), n, a, b), rel=1e-9)
