"""RLAO: reinforcement learning for agentic workflow optimisation (W4S, arXiv 2504.04785).

Best-of-m rollouts, then reward-weighted regression on every candidate: weight exp(reward / tau).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from w4s_gym.algos.meta_agent import RegressionAgent, Untrained
from w4s_gym.algos.policy import Policy
from w4s_gym.algos.trajectory import Row
from w4s_gym.errors import ConfigError

__all__ = ["RLAO", "Untrained"]

LARGEST_EXPONENT = 700.0
"""exp of it is still a float; relative rewards over a poor best may ask for more."""


class RLAO(RegressionAgent):
    """Trains a meta-agent on all candidates, better ones with more weight."""

    name = "rlao"

    def __init__(self, policy: Policy, *, tau: float | None = None, **options: Any) -> None:
        """Prepare to train `policy`.

        Args:
            policy: the meta-agent; its weights change.
            tau: temperature of the weights (default: the policy's, 0.4 unless it says otherwise).
            **options: arguments of `RegressionAgent`.

        Raises:
            ConfigError: the policy cannot be trained, or an option cannot be used.
        """
        super().__init__(policy, **options)
        self.tau = self._trained.config.tau if tau is None else tau
        if self.tau <= 0:
            raise ConfigError(f"expected tau above 0; got {self.tau}")

    def weigh(self, row: Row) -> float:
        """Return exp(reward / tau)."""
        assert row.reward is not None
        return math.exp(min(row.reward / self.tau, LARGEST_EXPONENT))

    def teaches(self, rows: Sequence[Row]) -> bool:
        """Return whether the rewards differ and, if they are tiers, some text was a new best.

        Rows that all earned the same hold no preference: in expectation regression on a policy's own samples changes
        nothing, and what it changes in practice is noise. The tier `BEAT_LAST` says only that a text beat the workflow
        of its state, which may be far worse than the seed workflows: with nothing better beside it, regression narrows
        the policy down to bad workflows. Rewards of the other kinds grade every text.
        """
        differ = len({row.reward for row in rows}) > 1
        return differ and any(row.reward_kind != "tiers" or row.is_new_best for row in rows)
