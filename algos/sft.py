"""SFT on winning actions: the baseline of W4S (arXiv 2504.04785) that drops the reward weights."""

from __future__ import annotations

from typing import Any

from w4s_gym.algos.meta_agent import RegressionAgent
from w4s_gym.algos.policy import Policy
from w4s_gym.algos.trajectory import Row
from w4s_gym.reward import BEAT_LAST


class SFT(RegressionAgent):
    """Trains a meta-agent on the texts that beat everything before them, all with weight 1."""

    name = "sft"

    def __init__(self, policy: Policy, *, above: float = BEAT_LAST, **options: Any) -> None:
        """Prepare to train `policy`.

        Args:
            policy: the meta-agent; its weights change.
            above: a text wins with a reward above this one. The default suits the reward tiers; with the relative
                reward a new best earns more than 0.
            **options: arguments of `RegressionAgent`.

        Raises:
            ConfigError: the policy cannot be trained, or an option cannot be used.
        """
        super().__init__(policy, **options)
        self.above = above

    def weigh(self, row: Row) -> float | None:
        """Return 1 for a winning action."""
        return 1.0 if row.reward is not None and row.reward > self.above else None
