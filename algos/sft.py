"""SFT on winning actions: the baseline of W4S (arXiv 2504.04785) that drops the reward weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from w4s_gym.algos import rlao
from w4s_gym.algos.policies.base import Policy, trainable
from w4s_gym.algos.rlao import RLAO, RegressionConfig
from w4s_gym.algos.trajectory import Row


@dataclass(frozen=True)
class SFTConfig(RegressionConfig):
    """Everything that SFT takes: RLAO's knobs but for tau."""


TINY = SFTConfig(**{field.name: getattr(rlao.TINY, field.name) for field in fields(SFTConfig)})
"""Settings of the tiny meta-agent: RLAO's, so that the two differ by their weights only."""


class SFT(RLAO):
    """Trains a meta-agent on the texts that beat everything before them, all with weight 1."""

    name = "sft"

    @classmethod
    def settings(cls, policy: Policy) -> SFTConfig:
        """Return the settings that suit a policy."""
        return TINY if trainable(policy, cls.name).tiny else SFTConfig()

    def weights(self, rows: Sequence[Row]) -> list[float | None]:
        """Return 1 for winning actions; others are left out."""
        return [1.0 if row.new_best else None for row in rows]

    def teaches(self, rows: Sequence[Row]) -> bool:
        """Winners always teach."""
        return True
