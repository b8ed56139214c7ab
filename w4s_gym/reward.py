"""The sparse reward of workflow design."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from w4s_gym.errors import ConfigError

NEW_BEST = 1.0
"""Tier of a workflow that beats all before it."""
BEAT_LAST = 0.5
"""Tier of a workflow that beats the one of its state, but not the best so far."""
NOTHING = 0.0
"""Tier of all other workflows."""
BELOW_FLOOR = -0.1
"""Reward of a workflow whose value is below the floor, if there is one."""
FAILED_GAIN = -1.0
"""Gain of a workflow that does not run; a price cannot make that of one that runs lower."""

RewardKind = Literal["tiers", "relative", "gain"]


@dataclass(frozen=True)
class RewardRule:
    """Which reward an accepted workflow earns (W4S, arXiv 2504.04785, section on RLAO).

    What workflows are compared by is their value: the validation accuracy less what their executor calls are worth. The
    calls are worth nothing unless they have a price here, and then the value is the accuracy.

    Example:
        >>> rule = RewardRule(token_price=1e-5)  # 1,000 tokens more an item must bring a point of accuracy more
        >>> round(rule.cost(tokens=4_000, dollars=None), 6)
        0.04
        >>> rule(0.80 - rule.cost(4_000, None), best=0.79 - rule.cost(500, None), last=0.5)
        0.5
    """

    kind: RewardKind = "tiers"
    """`tiers`: 1 / 0.5 / 0. `relative`: (v - best) / best (variant of the published code); if best is 0, 1 for solving
    anything at all and 0 for nothing (the published code pays 1 for both). `gain`: v - best, which also grades where
    the best solves nothing or next to nothing."""
    floor: float | None = None
    """If set, a value below it earns `BELOW_FLOOR` (the published code uses 0.3)."""
    token_price: float = 0.0
    """Accuracy that an executor token an item is worth, prompt and completion, cached ones included: with 1e-5, a
    workflow that spends 1,000 tokens more must get a hundredth more of the items right. 0: tokens do not count."""
    dollar_price: float = 0.0
    """Accuracy that a US dollar an item is worth; cached replies count at what they cost when they were paid, so that
    a reward does not depend on what was asked before. 0: dollars do not count."""

    def __post_init__(self) -> None:
        """Reject what cannot be used."""
        if not (0 <= self.token_price < math.inf and 0 <= self.dollar_price < math.inf):
            raise ConfigError(
                "expected token_price and dollar_price of the reward to be at least 0; got "
                f"{self.token_price!r} and {self.dollar_price!r}"
            )
        if self.priced and self.kind == "relative":
            raise ConfigError(
                "expected the reward kind 'tiers' or 'gain' with a token_price or dollar_price; 'relative' divides by "
                "the best value, which a price can make 0 or less"
            )
        if self.kind not in get_args(RewardKind):
            raise ConfigError(f"expected a reward kind among {get_args(RewardKind)}; got {self.kind!r}")

    @property
    def priced(self) -> bool:
        """Whether executor calls have a price."""
        return self.token_price > 0 or self.dollar_price > 0

    @property
    def price_text(self) -> str:
        """The price in words; empty without one."""
        prices = (
            (self.token_price * 1000, "for every 1,000 executor tokens an item"),
            (self.dollar_price / 1000, "for every $0.001 of executor calls an item"),
        )
        return " and ".join(f"{price:.4g} {of}" for price, of in prices if price)

    def cost(self, tokens: float, dollars: float | None) -> float:
        """Return what a workflow's executor calls are worth, in accuracy.

        Args:
            tokens: executor tokens that it spends on an item, on average.
            dollars: US dollars that it spends on an item, on average; None when the price is unknown.

        Raises:
            ConfigError: dollars count, and are unknown.
        """
        if self.dollar_price and dollars is None:
            raise ConfigError(
                "reward: dollar_price needs an executor whose price is known; set `price` in its executor_config, or "
                "use token_price"
            )
        return self.token_price * tokens + (self.dollar_price * dollars if self.dollar_price and dollars else 0.0)

    def __call__(self, value: float, best: float, last: float) -> float:
        """Return the reward of a workflow.

        Args:
            value: its value v, which is its validation accuracy unless executor calls have a price.
            best: best value of the episode so far, seed workflows included.
            last: value of the workflow that the state holds.

        Returns:
            With the default rule 1.0 if v > best, 0.5 if best >= v > last, else 0.0.
        """
        if self.floor is not None and value < self.floor:
            return BELOW_FLOOR
        if self.kind == "gain":
            return max(value - best, FAILED_GAIN)
        if self.kind == "relative":
            return (value - best) / best if best else float(value > 0)
        if value > best:
            return NEW_BEST
        return BEAT_LAST if value > last else NOTHING

    def is_new_best(self, value: float, best: float) -> bool:
        """Whether a workflow beats the best so far; one below the floor does not, whatever came before.

        With every kind of reward these are the workflows that earn the most: 1 among the tiers, else more than 0.
        """
        return value > best and (self.floor is None or value >= self.floor)

    @property
    def failure(self) -> float:
        """Reward of a text that yields no workflow that runs: that of solving nothing where others solve something."""
        return self(0.0, best=1.0, last=1.0)
