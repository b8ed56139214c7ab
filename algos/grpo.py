"""GRPO: group-relative policy optimisation (arXiv 2402.03300), by trl's `GRPOTrainer` with the environment behind it.

A group is the m candidates of one state. `collect` plays best-of-m episodes like the other algorithms; `update` hands
the very same completions and rewards to the trainer, so that each completion is written and measured once and the
step is on-policy. A candidate that could not be measured has the reward None: it is left out of its group's baseline
and gets no gradient. Repairs are no group of m and are not trained on.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from w4s_gym.algos.base import Batch
from w4s_gym.algos.best_of_m import BestOfM, BestOfMConfig
from w4s_gym.algos.mechanism import groups_with_spread
from w4s_gym.algos.policies.base import Policy, trainable
from w4s_gym.algos.trajectory import Row
from w4s_gym.errors import ConfigError


@dataclass(frozen=True)
class GRPOConfig(BestOfMConfig):
    """Everything that GRPO takes."""

    learning_rate: float = 1e-5
    """Of AdamW. Half of what suits regression (ours): advantages also push texts away, and at the full rate the tiny
    meta-agent unlearns to write workflows."""
    epochs: int = 1
    """Optimizer steps on the same completions, `num_iterations` of trl (the paper's: purely on-policy)."""
    beta: float = 0.0
    """Weight of the divergence from the first policy (trl's default; the paper has 0.04)."""
    clip: float = 1.0
    """Largest gradient norm (trl's default)."""
    max_tokens: int = 8192
    """States with a longer row (prompt and completion) are left out and counted, never cut."""

    def __post_init__(self) -> None:
        """Reject numbers that cannot be used."""
        super().__post_init__()
        if self.candidates < 2:
            raise ConfigError(
                f"expected at least 2 candidates, since a group is compared with itself; got {self.candidates}"
            )
        if self.epochs < 1:
            raise ConfigError(f"expected at least 1 epoch; got {self.epochs}")


TINY = GRPOConfig(learning_rate=2e-4)
"""Settings of the tiny meta-agent: half of RLAO's learning rate there, too."""


class GRPO(BestOfM):
    """Trains a meta-agent on the advantage of each candidate over the others of the same state."""

    name = "grpo"
    config: GRPOConfig

    def __init__(self, policy: Policy, config: GRPOConfig | None = None, run: str = "") -> None:
        """Prepare to train `policy`.

        Args:
            policy: the meta-agent; its weights change.
            config: settings (default: those that suit the policy).
            run: `<algorithm>/<seed>`, kept in the rows and part of the random streams (default: seed 0).

        Raises:
            ConfigError: the policy has no weights here.
        """
        self._trained = trainable(policy, self.name)
        super().__init__(policy, config, run)
        parameters = [p for p in self._trained.model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(parameters, lr=self.config.learning_rate, weight_decay=0.0)

    @classmethod
    def settings(cls, policy: Policy) -> GRPOConfig:
        """Return the settings that suit a policy."""
        return TINY if trainable(policy, cls.name).tiny else GRPOConfig()

    def update(self, batch: Batch) -> dict[str, float]:
        """Take `epochs` steps on the groups of the batch.

        Returns:
            `loss`, `rows` (trained on), `rows_too_long`, `rows_empty` (cut off before their first token), `rows_masked`
            (could not be measured), and `groups_with_spread`, the share of states whose candidates did not all earn the
            same: the others have no gradient.
        """
        attempts = _groups(batch.rows, self.config.candidates)
        # A text without a token has no gradient, and is left out of its group as what could not be measured is.
        groups = [[row if self._target(row) else replace(row, reward=None) for row in group] for group in attempts]
        fitting = [group for group in groups if all(self._length(row) <= self.config.max_tokens for row in group)]
        empty = sum(not self._target(row) for group in fitting for row in group)
        figures = {
            "rows": float(sum(len(group) for group in fitting) - empty),
            "rows_empty": float(empty),
            "rows_too_long": float(sum(len(group) for group in groups) - sum(len(group) for group in fitting)),
            "rows_masked": float(sum(row.reward is None for row in batch.rows)),
            "groups_with_spread": groups_with_spread([row for group in groups for row in group]),
        }
        if all(row.reward is None for group in fitting for row in group):
            return {"loss": 0.0, **figures}
        with _quiet():
            loss = self._make_trainer(fitting).train().training_loss
        self.progress = replace(self.progress, updates=self.progress.updates + 1)
        return {"loss": float(loss), **figures}

    def _write(self, folder: Path) -> None:
        """Write progress, weights and optimizer."""
        super()._write(folder)
        self._trained.save(folder / "policy")
        torch.save(self._optimizer.state_dict(), folder / "optimizer.pt")

    def _read(self, folder: Path) -> None:
        """Read what `_write` wrote."""
        super()._read(folder)
        self._trained.load(folder / "policy")
        self._optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))

    def _length(self, row: Row) -> int:
        return len(self._trained.codec.prompt(row.messages)) + len(self._target(row))

    def _target(self, row: Row) -> list[int]:
        return self._trained.codec.target(row.action, row.truncated)

    def _make_trainer(self, groups: Sequence[Sequence[Row]]) -> Any:
        """Make a trainer whose rollouts are the recorded ones; weights and optimizer outlive it."""
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # `rollout_func` is marked experimental
        from datasets import Dataset
        from transformers import PrinterCallback
        from trl import GRPOConfig as TrainerConfig
        from trl import GRPOTrainer

        codec = self._trained.codec
        rows = [row for group in groups for row in group]

        def recorded(prompts: list[Any], trainer: Any) -> dict[str, Any]:
            if [list(row.messages) for row in rows] != [list(prompt) for prompt in prompts]:
                raise RuntimeError("trl asked for completions of other prompts than the recorded ones; pin its version")
            return {
                "prompt_ids": [codec.prompt(row.messages) for row in rows],
                "completion_ids": [self._target(row) or [codec.end_token] for row in rows],  # trl takes no empty one
                "logprobs": None,
                "earned": [row.reward for row in rows],
            }

        def reward(completions: list[Any], earned: list[float | None], **_: Any) -> list[float | None]:
            return earned

        arguments = TrainerConfig(
            output_dir=str(Path(tempfile.gettempdir()) / "w4s-grpo"),
            num_generations=self.config.candidates,
            per_device_train_batch_size=self.config.candidates,  # one group in a forward pass
            gradient_accumulation_steps=len(groups),
            steps_per_generation=len(groups),
            num_iterations=self.config.epochs,
            max_steps=self.config.epochs,
            temperature=self._trained.temperature or 1.0,
            beta=self.config.beta,
            max_grad_norm=self.config.clip,
            lr_scheduler_type="constant",
            max_completion_length=self.config.max_tokens,
            shuffle_dataset=False,
            use_cpu=next(self._trained.model.parameters()).device.type == "cpu",
            bf16=False,  # autocast would wrap the model once more at every update; weights keep their own dtype
            gradient_checkpointing=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = GRPOTrainer(
            model=self._trained.model,
            reward_funcs=reward,
            args=arguments,
            train_dataset=Dataset.from_list([{"prompt": list(group[0].messages)} for group in groups]),
            processing_class=codec.tokenizer,
            rollout_func=recorded,
            optimizers=(self._optimizer, torch.optim.lr_scheduler.ConstantLR(self._optimizer, 1.0)),
        )
        trainer.remove_callback(PrinterCallback)
        return trainer


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what a trainer says at every update: notes on its own deprecations, and on rewards that are None.

    It would also tell the hub each time that it was made; nobody who starts a run expects that.
    """
    from huggingface_hub import constants

    logger = logging.getLogger("trl")
    level, silent = logger.level, constants.HF_HUB_DISABLE_TELEMETRY
    logger.setLevel(logging.ERROR)
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
        constants.HF_HUB_DISABLE_TELEMETRY = silent


def _groups(rows: Sequence[Row], size: int) -> list[list[Row]]:
    """Return the first attempts of each state; states of which a candidate is missing are left out."""
    designs = [row for row in rows if row.kind == "design"]
    states = groupby(designs, key=lambda row: row.state)
    return [group for group in (list(rows) for _, rows in states) if len(group) == size]
