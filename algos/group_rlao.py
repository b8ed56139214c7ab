"""Group RLAO: RLAO (`rlao.py`) with one setting for every kind of reward.

RLAO weighs by exp(r / tau), so one tau is several algorithms: with tiers it is SFT; with relative rewards it imitates
nearly every text, or, where the seed workflows are poor, a handful. Two of its four steps differ here:

2. weigh: a text's advantage is its reward less the mean of its group, the first attempts of the same turn in all
   episodes so far; groups that all earned the same are left out. A program is worth A, the mean advantage of the texts
   that hold it, and

       w = exp(A / tau) / number of texts that hold the program

   with the tau for which the effective share of the n programs, (sum of exp)^2 / (sum of exp^2) / n, is `share`.
3. teaches: whatever is left differs from others of its group, so that a turn without a new best teaches, too.

Why the group is a turn and not one state: earlier rows are replayed. The mean of their own state is what the
meta-agent of that time earned; measured by it, a poor text among poor ones stands above a good one among good ones.
As in advantage-weighted regression (arXiv 1910.00177), the baseline is of all that is replayed. Later turns have one of
their own, since the best to beat is higher there.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache

from w4s_gym.action import parse_action
from w4s_gym.algos import rlao
from w4s_gym.algos.mechanism import effective_rows
from w4s_gym.algos.policies.base import Policy, trainable
from w4s_gym.algos.rlao import RLAO, RegressionConfig
from w4s_gym.algos.trajectory import Row
from w4s_gym.errors import ConfigError
from w4s_gym.normal_form import normal_form


@dataclass(frozen=True)
class GroupRLAOConfig(RegressionConfig):
    """Everything that group RLAO takes: RLAO's knobs with `share` in place of tau.

    >>> GroupRLAOConfig(share=0.0)
    Traceback (most recent call last):
    w4s_gym.errors.ConfigError: expected share above 0 and below 1; got 0.0
    """

    share: float = 0.15
    """Effective share of the programs known so far that an update imitates (ours): a temperature that means the same
    under every reward. Small is the best program alone, near 1 all alike."""

    def __post_init__(self) -> None:
        """Reject numbers that cannot be used."""
        super().__post_init__()
        if not 0 < self.share < 1:
            raise ConfigError(f"expected share above 0 and below 1; got {self.share}")


TINY = GroupRLAOConfig(**{f.name: getattr(rlao.TINY, f.name) for f in fields(RegressionConfig)})
"""Settings of the tiny meta-agent: RLAO's, so that the two differ by weights only."""


class GroupRLAO(RLAO):
    """Trains a meta-agent on the programs that did best in their groups."""

    name = "group_rlao"
    config: GroupRLAOConfig

    @classmethod
    def settings(cls, policy: Policy) -> GroupRLAOConfig:
        """Return the settings that suit a policy."""
        return TINY if trainable(policy, cls.name).tiny else GroupRLAOConfig()

    # 2. weigh
    def weights(self, rows: Sequence[Row]) -> list[float | None]:
        """Return the weight of each row; None for those of groups without spread, and where no program stands out."""
        advantages = group_advantages(rows)
        texts: dict[str, list[float]] = defaultdict(list)
        for row, advantage in zip(rows, advantages, strict=True):
            if advantage is not None:
                texts[program_of(row.action)].append(advantage)
        worth = [sum(found) / len(found) for found in texts.values()]
        if not spread_of(worth):
            return [None for _ in rows]
        weight = {
            program: tilted / len(found)
            for (program, found), tilted in zip(texts.items(), tilt(worth, self.config.share), strict=True)
        }
        return [
            None if advantage is None else weight[program_of(row.action)]
            for row, advantage in zip(rows, advantages, strict=True)
        ]

    # 3. teaches
    def teaches(self, rows: Sequence[Row]) -> bool:
        """Whatever has a weight teaches."""
        return True

    # 1. collect and 4. update: inherited from RLAO.


def group_advantages(rows: Sequence[Row]) -> list[float | None]:
    """Return by how much each row earned more than the first attempts of its turn did on average.

    None in turns whose first attempts all earned the same.

    Args:
        rows: measured ones, of any number of episodes.
    """
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in rows:
        if row.kind == "design":
            groups[row.benchmark, row.turn].append(row.earned)
    means = {group: sum(earned) / len(earned) for group, earned in groups.items() if len(set(earned)) > 1}
    baselines = [means.get((row.benchmark, row.turn)) for row in rows]
    return [None if b is None else row.earned - b for row, b in zip(rows, baselines, strict=True)]


def tilt(values: Sequence[float], share: float) -> list[float]:
    """Return exp(value / tau), the largest as 1, for the tau at which the effective share of the values is `share`.

    The effective share is Kish's effective sample size over the number of values. It falls as tau does, down to the
    share of the largest values; where that is above `share` already, these have weight 1, and the others 0.

    >>> [round(weight, 3) for weight in tilt([0.0, 1.0, 2.0, 3.0], 0.5)]
    [0.041, 0.12, 0.346, 1.0]
    >>> tilt([0.5, 1.0, 1.0], 0.2)
    [0.0, 1.0, 1.0]
    """
    largest, spread = max(values, default=0.0), spread_of(values)
    # Means of the same rewards, summed up in another order, differ in the last digit: that is a tie.
    below = [round((largest - value) / spread, 9) if spread else 0.0 for value in values]
    if below.count(0.0) >= share * len(values):
        return [float(gap == 0.0) for gap in below]

    def at(sharpness: float) -> list[float]:
        return [math.exp(-sharpness * gap) for gap in below]

    low, high = 0.0, 1.0
    while effective_rows(at(high)) > share * len(values):
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if effective_rows(at(middle)) > share * len(values) else (low, middle)
    return at(high)


def spread_of(values: Sequence[float]) -> float:
    """Return how far values lie apart; 0 where that is no more than rounding."""
    spread = max(values, default=0.0) - min(values, default=0.0)
    return spread if spread > 1e-9 else 0.0


@lru_cache(maxsize=10_000)
def program_of(action: str) -> str:
    """Return what tells the program of a text from others, however written down; a text without one is its own."""
    return normal_form(parse_action(action).workflow or action)
