"""The sparse reward of workflow design."""

from __future__ import annotations

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
"""Reward of a workflow whose accuracy is below the floor, if there is one."""


RewardKind = Literal["tiers", "relative", "gain"]


@dataclass(frozen=True)
class RewardRule:
    """Which reward an accepted workflow earns (W4S, arXiv 2504.04785, section on RLAO)."""

    kind: RewardKind = "tiers"
    """`tiers`: 1 / 0.5 / 0. `relative`: (v - best) / best (variant of the published code); if best is 0, 1 for solving
    anything at all and 0 for nothing (the published code pays 1 for both). `gain`: v - best, which also grades where
    the best solves nothing or next to nothing."""
    floor: float | None = None
    """If set, an accuracy below it earns `BELOW_FLOOR` (the published code uses 0.3)."""

    def __post_init__(self) -> None:
        """Reject unknown kinds."""
        if self.kind not in get_args(RewardKind):
            raise ConfigError(f"expected a reward kind among {get_args(RewardKind)}; got {self.kind!r}")

    def __call__(self, accuracy: float, best: float, last: float) -> float:
        """Return the reward of a workflow.

        Args:
            accuracy: its validation accuracy v.
            best: best validation accuracy of the episode so far, seed workflows included.
            last: accuracy of the workflow that the state holds.

        Returns:
            With the default rule 1.0 if v > best, 0.5 if best >= v > last, else 0.0.
        """
        if self.floor is not None and accuracy < self.floor:
            return BELOW_FLOOR
        if self.kind == "gain":
            return accuracy - best
        if self.kind == "relative":
            return (accuracy - best) / best if best else float(accuracy > 0)
        if accuracy > best:
            return NEW_BEST
        return BEAT_LAST if accuracy > last else NOTHING

    def is_new_best(self, accuracy: float, best: float) -> bool:
        """Whether a workflow beats the best so far; one below the floor does not, whatever came before.

        With every kind of reward these are the workflows that earn the most: 1 among the tiers, else more than 0.
        """
        return accuracy > best and (self.floor is None or accuracy >= self.floor)

    @property
    def failure(self) -> float:
        """Reward of a text that yields no workflow that runs: that of solving nothing where others solve something."""
        return self(0.0, best=1.0, last=1.0)
