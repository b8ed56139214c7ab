"""SFT on winning actions: the baseline of W4S (arXiv 2504.04785) that drops the reward weights."""

from __future__ import annotations

from w4s_gym.algos.rlao import RegressionAgent
from w4s_gym.algos.trajectory import Row


class SFT(RegressionAgent):
    """Trains a meta-agent on the texts that beat everything before them, all with weight 1."""

    name = "sft"

    def weigh(self, row: Row) -> float | None:
        """Return 1 for a winning action."""
        return 1.0 if row.is_new_best else None
