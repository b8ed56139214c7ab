"""RLAO: reinforcement learning for agentic workflow optimisation (W4S, arXiv 2504.04785).

Best-of-m rollouts, then reward-weighted regression on every candidate: weight exp(reward / tau).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from w4s_gym.algos.meta_agent import RegressionAgent, Untrained
from w4s_gym.algos.policy import Policy
from w4s_gym.algos.regression import WeightedText
from w4s_gym.algos.trajectory import Row
from w4s_gym.errors import ConfigError

__all__ = ["RLAO", "Untrained"]


class RLAO(RegressionAgent):
    """Trains a meta-agent on all candidates, better ones with more weight."""

    name = "rlao"

    def __init__(self, policy: Policy, *, tau: float = 0.4, **options: Any) -> None:
        """Prepare to train `policy`.

        Args:
            policy: the meta-agent; its weights change.
            tau: temperature of the weights.
            **options: arguments of `RegressionAgent`.
        """
        if tau <= 0:
            raise ConfigError(f"expected tau above 0; got {tau}")
        super().__init__(policy, **options)
        self.tau = tau

    def weigh(self, row: Row) -> float:
        """Return exp(reward / tau)."""
        assert row.reward is not None
        return math.exp(row.reward / self.tau)

    def teaches(self, texts: Sequence[WeightedText]) -> bool:
        """Return whether the weights differ.

        Rows that all earned the same hold no preference: in expectation regression on a policy's own samples changes
        nothing, and what it changes in practice is noise.
        """
        return len({text.weight for text in texts}) > 1
