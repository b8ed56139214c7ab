"""Statistics of a comparison: intervals over seeds and items, probability of improvement, selection optimism.

A designer's results are one array `scores[seed, episode, item]`: the test score of the workflow that it designed in
that episode. Every designer meets the same items, so items are a crossed factor: one resample of the items is shared
by all designers, seeds and episodes (a paired comparison). Episodes are nested in seeds. NaN marks an item that the
executor could not be asked about; it is left out of the means.

The interquartile mean and the probability of improvement are those of Agarwal et al., "Deep reinforcement learning at
the edge of the statistical precipice" (arXiv 2108.13264), with items as a second level of the bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

REPLICATES = 2000
"""Bootstrap replicates of every interval."""


@dataclass(frozen=True)
class Estimate:
    """A point estimate with a 95% interval."""

    value: float
    low: float
    high: float

    def percent(self) -> str:
        """Write a share as percent: `61.3 [58.0, 64.9]`."""
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True)
class Resampled:
    """A point estimate with its bootstrap replicates."""

    value: float
    replicates: np.ndarray

    def estimate(self) -> Estimate:
        """Return it with the 95% interval of the replicates."""
        return estimate(self.value, self.replicates)


def mean_of(parts: Sequence[Resampled]) -> Estimate:
    """Mean of what was resampled apart, for instance of differences on several benchmarks; each counts alike."""
    return estimate(float(np.mean([p.value for p in parts])), np.mean([p.replicates for p in parts], axis=0))


def run_means(scores: np.ndarray) -> np.ndarray:
    """Mean over items of each run: shape (seeds, episodes)."""
    return np.nanmean(scores, axis=2)


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean along the last axis of what is left after the lowest and the highest quarter are cut off (whole values)."""
    count = values.shape[-1]
    cut = int(0.25 * count)
    return np.partition(values, (cut, count - cut - 1))[..., cut : count - cut].mean(axis=-1)


class HierarchicalBootstrap:
    """Resamples of items (shared by all designers), seeds, and episodes within seeds.

    Seeds are resampled for each designer on its own, because the same seed number does not make two designers' luck
    alike; items are resampled for all of them together.
    """

    def __init__(self, items: int, seed: int = 0, replicates: int = REPLICATES) -> None:
        """Draw the resamples of `items` items."""
        self._rng = np.random.default_rng(seed)
        self._seed = seed
        self.replicates = replicates
        # counts[r, i]: how often item i is drawn in replicate r
        self._counts = self._rng.multinomial(items, np.full(items, 1 / items), size=replicates).astype(float)

    def runs(self, scores: np.ndarray, stream: int) -> np.ndarray:
        """Means of resampled runs.

        Args:
            scores: shape (seeds, episodes, items).
            stream: number of the designer; fixes its resamples of seeds and episodes.

        Returns:
            Shape (replicates, seeds, episodes).
        """
        seeds, episodes, items = scores.shape
        if items != self._counts.shape[1]:
            raise ValueError(f"expected scores on {self._counts.shape[1]} items; got {items}")
        flat = scores.reshape(seeds * episodes, items)
        known = ~np.isnan(flat)
        total = self._counts @ np.where(known, flat, 0.0).T
        weight = self._counts @ known.T
        # A replicate in which a run has none of its items keeps the run's own mean.
        means = np.where(weight > 0, total / np.maximum(weight, 1e-12), np.nanmean(flat, axis=1))
        means = means.reshape(self.replicates, seeds, episodes)
        rng = np.random.default_rng([self._seed, stream])
        seed_index = rng.integers(seeds, size=(self.replicates, seeds, 1))
        episode_index = rng.integers(episodes, size=(self.replicates, seeds, episodes))
        replicate = np.arange(self.replicates)[:, None, None]
        return means[replicate, seed_index, episode_index]

    def mean(self, scores: np.ndarray, stream: int) -> Estimate:
        """Mean over runs."""
        return estimate(float(run_means(scores).mean()), self.runs(scores, stream).mean(axis=(1, 2)))

    def iqm(self, scores: np.ndarray, stream: int) -> Estimate:
        """Interquartile mean over runs."""
        runs = self.runs(scores, stream).reshape(self.replicates, -1)
        return estimate(float(interquartile_mean(run_means(scores).ravel())), interquartile_mean(runs))

    def difference(self, a: np.ndarray, stream_a: int, b: np.ndarray, stream_b: int) -> Estimate:
        """Mean of `a` minus mean of `b`, paired over items."""
        return self.differences(a, stream_a, b, stream_b).estimate()

    def differences(self, a: np.ndarray, stream_a: int, b: np.ndarray, stream_b: int) -> Resampled:
        """Return the same with its replicates."""
        value = float(run_means(a).mean() - run_means(b).mean())
        return Resampled(value, self.runs(a, stream_a).mean(axis=(1, 2)) - self.runs(b, stream_b).mean(axis=(1, 2)))

    def probability_of_improvement(self, a: np.ndarray, stream_a: int, b: np.ndarray, stream_b: int) -> Estimate:
        """P(a run of `a` scores higher than a run of `b`), ties counted half."""
        value = _probability(run_means(a).reshape(1, -1), run_means(b).reshape(1, -1))[0]
        runs_a = self.runs(a, stream_a).reshape(self.replicates, -1)
        runs_b = self.runs(b, stream_b).reshape(self.replicates, -1)
        return estimate(float(value), _probability(runs_a, runs_b))


def _probability(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Share of pairs (i, j) with a[:, i] > b[:, j], ties half, per row."""
    difference = a[:, :, None] - b[:, None, :]
    # Sums of the same items in another order differ in the last digit: that is a tie.
    tie = np.abs(difference) < 1e-9
    return np.where(tie, 0.5, difference > 0).mean(axis=(1, 2))


def estimate(value: float, replicates: np.ndarray) -> Estimate:
    """Return a value with the 95% interval of its bootstrap replicates."""
    low, high = np.quantile(replicates, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True)
class SelectionOptimism:
    """What choosing by validation costs, from workflows that were measured on both splits."""

    workflows: int
    """Number of workflows over all groups."""
    selected_validation: float
    """Mean over groups: validation score of the workflow that validation selects."""
    selected_test: float
    """Mean over groups: its test score."""
    oracle_test: float
    """Mean over groups: the highest test score of the group, what the published tables report."""
    spearman: float | None
    """Rank correlation of validation and test over all workflows; None when it is not defined."""

    @property
    def optimism(self) -> float:
        """How much the validation score of the selected workflow promises too much."""
        return self.selected_validation - self.selected_test


def selection_optimism(groups: Sequence[Sequence[tuple[float, float]]]) -> SelectionOptimism | None:
    """Compare selection by validation with the oracle.

    Args:
        groups: per choice that was to be made, (validation, test) of the workflows there were to choose from.

    Returns:
        None when no group has two workflows.
    """
    from scipy.stats import spearmanr  # deferred: importing it takes long

    groups = [group for group in groups if len(group) > 1]
    if not groups:
        return None
    chosen = [max(group, key=lambda pair: pair[0]) for group in groups]
    pairs = np.array([pair for group in groups for pair in group])
    constant = any(len(np.unique(pairs[:, side])) < 2 for side in (0, 1))
    return SelectionOptimism(
        workflows=len(pairs),
        selected_validation=float(np.mean([validation for validation, _ in chosen])),
        selected_test=float(np.mean([test for _, test in chosen])),
        oracle_test=float(np.mean([max(test for _, test in group) for group in groups])),
        spearman=None if constant else float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic),
    )


def flip_rate(first: Sequence[float], second: Sequence[float]) -> float | None:
    """A/A flip rate: how often a second measurement of two workflows reverses their order.

    Args:
        first: score of each workflow on one draw of the executor's randomness.
        second: score of the same workflows on an independent draw.

    Returns:
        Share of the pairs that the first draw tells apart whose order the second reverses (a tie counts half); None
        when the first draw tells no pair apart.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"expected two measurements of each workflow; got {len(a)} and {len(b)}")
    i, j = np.triu_indices(len(a), k=1)
    before, after = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
    told = before != 0
    if not told.any():
        return None
    return float(np.where(after[told] == 0, 0.5, after[told] != before[told]).mean())


def wilson(successes: float, trials: int) -> Estimate:
    """Wilson score interval of a share; `successes` may be a sum of fractional scores."""
    if trials == 0:
        return Estimate(math.nan, 0.0, 1.0)
    z = NormalDist().inv_cdf(0.975)
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials**2))
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half))


def cost_per_point(cost: float | None, score: float, reference: float) -> float | None:
    """Cost of one point (a hundredth) gained over `reference`; None when nothing was gained or the cost is unknown."""
    gained = 100 * (score - reference)
    return None if cost is None or gained <= 0 else cost / gained
