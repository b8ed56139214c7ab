"""RLAO: reinforcement learning for agentic workflow optimisation (W4S, arXiv 2504.04785).

Best-of-m rollouts, then reward-weighted regression on every candidate: weight exp(reward / tau).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from w4s_gym.algos.base import Batch
from w4s_gym.algos.best_of_m import BestOfM
from w4s_gym.algos.codec import WeightedText
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.policies.hf import HFPolicy
from w4s_gym.algos.regression import RegressionConfig, RegressionTrainer
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row, read_rows, write_rows
from w4s_gym.errors import ConfigError

LARGEST_EXPONENT = 700.0
"""exp of it is still a float; relative rewards over a poor best may ask for more."""


class RegressionAgent(BestOfM):
    """A meta-agent that learns by weighted regression on its rows; subclasses weigh them."""

    def __init__(
        self,
        policy: Policy,
        *,
        replay: int = 30,
        candidates: int = 5,
        episodes: int = 1,
        run: str = "",
        **regression: Any,
    ) -> None:
        """Prepare to train `policy`.

        Args:
            policy: the meta-agent; its weights change.
            replay: number of rows of earlier iterations, drawn at random, that an update trains on beside the new
                ones. They keep rewards in the batch when all new ones are equal: regression on those alone is
                imitation of the policy's own samples, which drifts.
            candidates: candidates a turn (m).
            episodes: episodes of one call of `collect`.
            run: `<algorithm>/<seed>`.
            **regression: fields of `RegressionConfig`; four of them are by default the policy's.

        Raises:
            ConfigError: the policy cannot be trained, or an option is not known.
        """
        super().__init__(policy, candidates=candidates, episodes=episodes, run=run)
        if not isinstance(policy, HFPolicy):
            raise ConfigError(
                f"{self.name} trains `tiny` or `hf:<model>`; the policy {policy.name} has no weights here"
            )
        if replay < 0:
            raise ConfigError(f"expected replay of at least 0 rows; got {replay}")
        self._trained = policy
        self._replay = replay
        self._earlier: list[Row] = []
        try:
            suited = {
                "learning_rate": policy.config.learning_rate,
                "epochs": policy.config.epochs,
                "thin": policy.config.thin,
                "warmup_steps": policy.config.warmup_steps,
            }
            if "lr" in regression:  # its name in earlier commands
                regression["learning_rate"] = regression.pop("lr")
            config = RegressionConfig(**{**suited, **regression})
        except TypeError as error:
            raise ConfigError(f"unknown option of {self.name}: {error}") from error
        self.trainer = RegressionTrainer(policy.model, policy.codec, config)

    def weigh(self, row: Row) -> float | None:
        """Weight of a row that could be measured; None leaves it out."""
        raise NotImplementedError

    def teaches(self, rows: Sequence[Row]) -> bool:
        """Whether these rows hold something to learn; else the update leaves the weights as they are."""
        return True

    def update(self, batch: Batch) -> dict[str, float]:
        """Fit the new rows and some earlier ones; rows without a reward never train.

        Returns:
            The trainer's figures, and `rows_masked`, the rows of this batch that could not be measured.
        """
        seed = derive_seed("update", self.run, self.progress.updates)
        new, earlier = self._weighted(batch.rows), self._weighted(self._earlier)
        chosen = [*new, *Random(seed).sample(earlier, min(self._replay, len(earlier)))]
        teaches = self.teaches([row for row, _ in chosen])
        figures = self.trainer.fit([text for _, text in chosen] if teaches else [], seed)
        self._earlier += batch.rows
        self.progress = replace(self.progress, updates=self.progress.updates + 1)
        return {**figures, "rows_masked": float(sum(row.reward is None for row in batch.rows))}

    def _weighted(self, rows: Sequence[Row]) -> list[tuple[Row, WeightedText]]:
        """The rows that train, each with its weighted text."""
        usable = [(row, self.weigh(row)) for row in rows if row.reward is not None]
        return [
            (row, WeightedText(row.messages, row.action, weight, row.truncated))
            for row, weight in usable
            if weight is not None
        ]

    def save(self, folder: Path) -> None:
        """Write weights, optimizer, earlier rows and progress."""
        super().save(folder)
        self._trained.save(folder / "policy")
        self.trainer.save(folder / "optimizer.pt")
        file = folder / "earlier.jsonl"
        file.unlink(missing_ok=True)
        write_rows(file, self._earlier)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; the run goes on as if it had not stopped."""
        super().load(folder)
        self._trained.load(folder / "policy")
        self.trainer.load(folder / "optimizer.pt")
        self._earlier = list(read_rows(folder / "earlier.jsonl"))


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
