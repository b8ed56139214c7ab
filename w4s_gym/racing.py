"""Kill-only sequential stop ("racing"): end the validation of a candidate that can hardly change the reward.

A candidate is looked at every few items. If the predicted probability that its final accuracy exceeds the lowest
accuracy that still changes the reward (that of the state's own workflow, because of the 0.5 tier) is below a small
limit, the rest of its items is not run. Nothing is ever accepted early, so survivors see every item.

The prediction is paired and exact. Items are sorted into strata of equal difficulty: by what the reference workflow
(the state's own) scored on them, and by how often earlier workflows solved them. In each stratum the number of solved
items among the remaining ones is beta-binomial, given the candidate's results so far; the strata are convolved.
Where executor calls have a price, what the candidate has spent on an item so far is taken for its cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from w4s_gym.errors import ConfigError

_EDGES = (0.15, 0.5, 0.85)
"""Cuts between the classes of difficulty (mean score of earlier workflows on an item)."""


@dataclass(frozen=True)
class RacingRule:
    """When to give a candidate up."""

    look_every: int = 16
    """Items between two looks."""
    limit: float = 0.005
    """Give up below this probability of changing the reward. In simulations with 128 items of different difficulty 0.3
    to 0.6% of the decisions then differ from those of full runs (`tests/test_racing.py`)."""
    prior: float = 2.0
    """Weight, in items, of the stratum's expected score in the prediction."""
    archive: int = 10
    """Number of measured workflows from which on items are ordered, and their strata refined, by difficulty."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigError: a number cannot be used.
        """
        if self.look_every < 1 or not 0 <= self.limit < 0.5 or self.prior <= 0 or self.archive < 1:
            raise ConfigError(
                "racing: expected look_every >= 1, 0 <= limit < 0.5, prior > 0 and archive >= 1; "
                f"got {self.look_every}, {self.limit}, {self.prior} and {self.archive}"
            )


Spent = tuple[float, float | None]
"""Mean executor tokens and US dollars of an item; dollars are None when the price is unknown."""
_LESS = 1e-6
"""By how much, in items, a candidate that is given up stays below the reference: more than rounding hides."""


class Race:
    """Decides about the candidates of one state; all of them see the items in the same order."""

    def __init__(
        self,
        reference: Sequence[float],
        archive: Sequence[Sequence[float]],
        rule: RacingRule,
        cost: Callable[[float, float | None], float] | None = None,
        spent: Spent = (0.0, 0.0),
    ) -> None:
        """Prepare the strata and the order of the items.

        Args:
            reference: score on each item of the workflow that the state holds; its mean is to be exceeded.
            archive: scores on the same items of the workflows measured so far.
            rule: when to give up.
            cost: what executor calls are worth (`RewardRule.cost`); None if they have no price.
            spent: what the reference spends on an item.
        """
        self._cost = cost
        self._spent = spent
        self.rule = rule
        self._reference = np.asarray(reference, dtype=float)
        self._threshold = float(sum(reference))  # in the order of `Evaluation.accuracy`: to the last digit the same
        self._archive = np.asarray(archive, dtype=float).reshape(-1, len(self._reference))
        self._refined = len(self._archive) >= rule.archive
        solved = self._reference >= 0.5
        difficulty = self._archive.mean(axis=0) if len(self._archive) else np.where(solved, 0.75, 0.25)
        classes = np.digitize(difficulty, _EDGES) if self._refined else np.zeros(len(solved), dtype=int)
        self._strata = 2 * classes + solved
        self._expected = {s: float(difficulty[self._strata == s].mean()) for s in np.unique(self._strata)}

    @property
    def order(self) -> list[int]:
        """Positions of the items in the order they should run: the most informative first, once that is known."""
        if not self._refined:
            return list(range(len(self._reference)))
        p = self._archive.mean(axis=0)
        return [int(i) for i in np.argsort(-p * (1 - p), kind="stable")]

    def next_look(self, measured: int) -> int:
        """Number of items after which the next decision is due, when this many are measured."""
        following = (measured // self.rule.look_every + 1) * self.rule.look_every
        return min(following, len(self._reference))

    def is_look(self, measured: int) -> bool:
        """Whether a decision is due after this many items."""
        return measured % self.rule.look_every == 0 and 0 < measured < len(self._reference)

    def _to_exceed(self, spent: Spent) -> float:
        """The sum of scores that the candidate must exceed, which depends on what it spends if that has a price."""
        if self._cost is None or spent[1] is None or self._spent[1] is None:
            return self._threshold
        return self._threshold + len(self._reference) * (self._cost(*spent) - self._cost(*self._spent))

    def chance(self, scores: Mapping[int, float], spent: Spent = (0.0, 0.0)) -> float:
        """Predicted probability that the candidate's accuracy, less its cost, will exceed the reference's.

        Args:
            scores: score by item position, for the items that were measured.
            spent: what the candidate spent on each of them, on average.
        """
        pmf = np.ones(1)
        for left, a, b in self._posteriors(scores):
            pmf = np.convolve(pmf, _beta_binomial(left, a, b))
        final = sum(scores.values()) + np.arange(len(pmf))
        return float(pmf[final > self._to_exceed(spent) + 1e-9].sum())

    def expected(self, scores: Mapping[int, float], spent: Spent = (0.0, 0.0)) -> float:
        """Predicted accuracy of a candidate that was given up; not enough to exceed the reference and earn a reward."""
        rest = sum(left * a / (a + b) for left, a, b in self._posteriors(scores))
        most = self._threshold if self._cost is None else self._to_exceed(spent) - _LESS
        return min(sum(scores.values()) + rest, most) / len(self._reference)

    def _posteriors(self, scores: Mapping[int, float]) -> list[tuple[int, float, float]]:
        """Per stratum with items left: their number, and the Beta posterior of the score on them."""
        posteriors = []
        for stratum, expected in self._expected.items():
            members = np.flatnonzero(self._strata == stratum)
            seen = [scores[i] for i in members.tolist() if i in scores]
            if len(seen) == len(members):
                continue
            # Fractional scores count as fractions of a solved item: more spread than they have, so fewer kills.
            a = self.rule.prior * min(max(expected, 0.02), 0.98) + sum(seen)
            b = self.rule.prior * min(max(1 - expected, 0.02), 0.98) + len(seen) - sum(seen)
            posteriors.append((len(members) - len(seen), a, b))
        return posteriors

    def gives_up(self, scores: Mapping[int, float], spent: Spent = (0.0, 0.0)) -> bool:
        """Whether to end the candidate now; to be asked when `is_look`."""
        left = len(self._reference) - len(scores)
        if sum(scores.values()) + left <= self._to_exceed(spent) + 1e-9:
            return True  # not even solving all the rest would do
        return self.chance(scores, spent) < self.rule.limit


def _beta_binomial(n: int, a: float, b: float) -> np.ndarray:
    """Probabilities of 0, 1, ..., n solved items of n, where the chance of each is drawn from Beta(a, b)."""
    from scipy.special import betaln  # deferred: importing it takes long

    k = np.arange(n + 1)
    return np.exp(betaln(k + a, n - k + b) - betaln(a, b) - betaln(k + 1, n - k + 1) - np.log(n + 1))


@dataclass(frozen=True)
class Saving:
    """What a stopping rule saved."""

    planned: int
    """Items that full evaluations would have run."""
    run: int
    """Items that were run."""
    stopped: int
    """Candidates that were ended early."""
    candidates: int
    """Candidates in all."""

    def __add__(self, other: Saving) -> Saving:
        """Add field by field."""
        return Saving(
            self.planned + other.planned,
            self.run + other.run,
            self.stopped + other.stopped,
            self.candidates + other.candidates,
        )

    def text(self) -> str:
        """One line for a report."""
        share = 1 - self.run / self.planned if self.planned else 0.0
        return (
            f"racing stopped {self.stopped} of {self.candidates} candidates and ran {self.run:,} of {self.planned:,} "
            f"items ({share:.0%} saved)"
        )
