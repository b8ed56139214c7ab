"""The sparse reward of workflow design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from w4s_gym.errors import ConfigError

BEAT_LAST = 0.5
"""Tier of a workflow that beats the one of its state, but not the best so far."""


@dataclass(frozen=True)
class RewardRule:
    """Which reward an accepted workflow earns (W4S, arXiv 2504.04785, section on RLAO)."""

    kind: Literal["tiers", "relative"] = "tiers"
    """`tiers`: 1 / 0.5 / 0. `relative`: (v - best) / best, or 1 if best is 0 (variant of the published code)."""
    floor: float | None = None
    """If set, an accuracy below it earns -0.1 (the published code uses 0.3)."""

    def __post_init__(self) -> None:
        """Reject unknown kinds."""
        if self.kind not in ("tiers", "relative"):
            raise ConfigError(f"expected reward kind 'tiers' or 'relative'; got {self.kind!r}")

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
            return -0.1
        if self.kind == "relative":
            return (accuracy - best) / best if best else 1.0
        if accuracy > best:
            return 1.0
        return BEAT_LAST if accuracy > last else 0.0
