"""RLAO: reinforcement learning for agentic workflow optimisation (W4S, arXiv 2504.04785).

A small meta-agent pi learns to write workflows for a frozen executor. One iteration has four steps:

1. collect: in each state s the meta-agent writes m workflows; all are measured, the best advances (`best_of_m.py`).
   Every text a it wrote is a row (s, a, r); r says whether the workflow beat those before it.
2. weigh: w = exp(r / tau). A small tau imitates the winners, a large one everything.
3. teaches: rows without a preference among them are left alone.
4. update: fit the new rows and some earlier ones by AdamW on (`regression.py`)

       loss = 1/N sum_i  w_i / mean(w)  *  -1/|a_i| sum_t log pi(a_i,t | s_i, a_i,<t)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from w4s_gym.algos.base import Batch
from w4s_gym.algos.best_of_m import BestOfM, BestOfMConfig
from w4s_gym.algos.codec import EncodedRow, WeightedText
from w4s_gym.algos.mechanism import effective_rows, groups_with_spread, new_best_weight
from w4s_gym.algos.policies.base import Policy, trainable
from w4s_gym.algos.regression import Regression, grouped_batches, with_mean_weight_1
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row, read_rows, write_rows
from w4s_gym.errors import ConfigError

LARGEST_EXPONENT = 700.0
"""exp of it is still a float; relative rewards over a poor best may ask for more."""


@dataclass(frozen=True)
class RegressionConfig(BestOfMConfig):
    """Knobs of learning by regression, whatever the weights: all of SFT's, and RLAO's but for tau."""

    replay: int = 30
    """Rows of earlier iterations, drawn at random, that an update trains on beside the new ones (ours: they keep
    rewards in the batch when all new ones are equal; regression on those alone imitates the policy's own samples and
    drifts)."""
    learning_rate: float = 2e-5
    """Of AdamW (the paper's)."""
    epochs: int = 1
    """Passes over the rows of one update (ours: the rows are fresh, and a big model fits them at once)."""
    rows_per_step: int = 16
    """Rows behind one optimizer step (ours: a few steps an update)."""
    thin: bool = False
    """Pass light rows less often. A pass takes a row that is lighter than the mean with probability weight / mean only,
    then with the mean weight: in expectation the same gradient, for a fraction of the work where few rows carry most of
    the weight (ours; off, as the paper passes every row)."""
    warmup_steps: int = 0
    """Optimizer steps, over all updates, in which the learning rate rises linearly (ours; off for big models). AdamW's
    first steps move every weight by about the learning rate, however small its gradient; a small model may forget how
    to write."""
    weight_decay: float = 0.0
    """Of AdamW (ours: the start of the training is the prior that counts, not zero)."""
    clip: float = 1.0
    """Largest gradient norm (the usual one)."""
    tokens_per_pass: int = 4096
    """Padded tokens in one forward pass: a step takes as many passes as it needs, with the same result."""
    packing: bool = True
    """Compute what the rows of a step share, such as their prompt, once: the same gradient for less work. A model that
    does not take the mask that this needs is found by a trial, and trained row by row."""
    max_tokens: int = 8192
    """Longer rows are left out, counted and reported, never cut (a cut row would lose its target)."""
    bfloat16: bool | None = None
    """Autocast to bfloat16; None means where the device computes with it natively."""

    def __post_init__(self) -> None:
        """Reject numbers that cannot be used."""
        super().__post_init__()
        if min(self.rows_per_step, self.epochs, self.tokens_per_pass) < 1:
            raise ConfigError(f"expected rows_per_step, epochs and tokens_per_pass of at least 1; got {self}")
        if self.replay < 0:
            raise ConfigError(f"expected replay of at least 0 rows; got {self.replay}")


@dataclass(frozen=True)
class RLAOConfig(RegressionConfig):
    """Everything that RLAO takes; by default as in the paper, for a pretrained meta-agent.

    >>> (RLAOConfig().tau, TINY.tau)
    (0.4, 0.2)
    >>> RLAOConfig(tau=0.0)
    Traceback (most recent call last):
    w4s_gym.errors.ConfigError: expected tau above 0; got 0.0
    """

    tau: float = 0.4
    """Temperature of the weights exp(reward / tau) (the paper's)."""

    def __post_init__(self) -> None:
        """Reject numbers that cannot be used."""
        super().__post_init__()
        if self.tau <= 0:
            raise ConfigError(f"expected tau above 0; got {self.tau}")


TINY = RLAOConfig(
    learning_rate=4e-4,  # 1.6 million weights move further than 7 billion
    epochs=20,  # an update is seconds of work: the measurements are what is dear
    thin=True,
    warmup_steps=20,  # without, it forgot how to write after its first update
    tau=0.2,  # with a tenth of winners and tau 0.4, half of an update imitates texts that earned nothing
)
"""Settings of the tiny meta-agent (docs/results tell how they were chosen)."""


class RLAO(BestOfM):
    """Trains a meta-agent on all candidates, better ones with more weight."""

    name = "rlao"
    config: RegressionConfig

    def __init__(self, policy: Policy, config: RegressionConfig | None = None, run: str = "") -> None:
        """Prepare to train `policy`.

        Args:
            policy: the meta-agent; its weights change.
            config: settings (default: `TINY` for the tiny meta-agent, else the paper's).
            run: `<algorithm>/<seed>`, kept in the rows and part of the random streams (default: seed 0).

        Raises:
            ConfigError: the policy has no weights here.
        """
        self._trained = trainable(policy, self.name)
        super().__init__(policy, config, run)
        self.regression = Regression(
            self._trained.model,
            self._trained.codec,
            clip=self.config.clip,
            weight_decay=self.config.weight_decay,
            tokens_per_pass=self.config.tokens_per_pass,
            packing=self.config.packing,
            bfloat16=self.config.bfloat16,
        )
        self._earlier: list[Row] = []

    @classmethod
    def settings(cls, policy: Policy) -> RegressionConfig:
        """Return the settings that suit a policy."""
        return TINY if trainable(policy, cls.name).tiny else RLAOConfig()

    # 1. collect: inherited from BestOfM.

    # 2. weigh
    def weights(self, rows: Sequence[Row]) -> list[float | None]:
        """Return exp(reward / tau) of each row; None, in subclasses, leaves a row out.

        Args:
            rows: everything that was measured so far, this batch first: a row may be weighed by what stands beside it.
        """
        assert isinstance(self.config, RLAOConfig)
        return [math.exp(min(row.earned / self.config.tau, LARGEST_EXPONENT)) for row in rows]

    # 3. teaches
    def teaches(self, rows: Sequence[Row]) -> bool:
        """Return whether the rewards differ and, if they are tiers, some text was a new best.

        Rows that all earned the same hold no preference: in expectation regression on a policy's own samples changes
        nothing, and what it changes in practice is noise. The tier `BEAT_LAST` says only that a text beat the workflow
        of its state, which may be far worse than the seed workflows: with nothing better beside it, regression narrows
        the policy down to bad workflows. Rewards of the other kinds grade every text.
        """
        differ = len({row.reward for row in rows}) > 1
        return differ and any(row.reward_kind != "tiers" or row.new_best for row in rows)

    # 4. update
    def update(self, batch: Batch) -> dict[str, float]:
        """Fit the new rows and some earlier ones; rows without a reward never train.

        Returns:
            The figures of `fit`; `rows_masked`, the rows of this batch that could not be measured; and what the update
            learned from (`mechanism.py`): `effective_rows` and `new_best_weight` of the rows passed, 0 if none were,
            and `groups_with_spread` of this batch.
        """
        chosen = self.choose(batch.rows)
        figures = self.fit([text for _, text in chosen], self._seed())
        self.remember(batch.rows)
        return {
            **figures,
            "rows_masked": float(sum(row.reward is None for row in batch.rows)),
            "effective_rows": effective_rows([text.weight for _, text in chosen]),
            "new_best_weight": new_best_weight([row for row, _ in chosen], [text.weight for _, text in chosen]),
            "groups_with_spread": groups_with_spread(batch.rows),
        }

    def choose(self, rows: Sequence[Row]) -> list[tuple[Row, WeightedText]]:
        """Return what an update passes, weighted: new rows and some earlier ones; nothing if they teach nothing."""
        new, earlier = _measured(rows), _measured(self._earlier)
        weights = self.weights([*new, *earlier])
        usable, replayable = _weighted(new, weights[: len(new)]), _weighted(earlier, weights[len(new) :])
        chosen = [*usable, *Random(self._seed()).sample(replayable, min(self.config.replay, len(replayable)))]
        return chosen if self.teaches([row for row, _ in chosen]) else []

    def remember(self, rows: Sequence[Row]) -> None:
        """End an update: its rows are earlier ones from now on."""
        self._earlier += rows
        self.progress = replace(self.progress, updates=self.progress.updates + 1)

    def _seed(self) -> int:
        """Fixes what the next update draws."""
        return derive_seed("update", self.run, self.progress.updates)

    def fit(self, texts: Iterable[WeightedText], seed: int) -> dict[str, float]:
        """Pass `epochs` times over weighted texts; `seed` fixes the order of the batches.

        Returns:
            Figures: `loss` (mean over steps), `steps`, `rows` (trained on), `rows_too_long` and `rows_empty` (left out;
            empty is a text that was cut off before its first token), `rows_passed` (rows over all passes; with `thin`
            fewer than `rows` x `epochs`), `tokens` (prompt and target tokens of those), `tokens_computed` (what went
            through the model: padding too, and what packed rows share once).
        """
        encoded = [self.regression.codec.encode(text) for text in texts]
        written = [row for row in encoded if row.target]
        rows = [row for row in written if row.length <= self.config.max_tokens]
        figures = {
            "rows": float(len(rows)),
            "rows_too_long": float(len(written) - len(rows)),
            "rows_empty": float(len(encoded) - len(written)),
        }
        if not any(row.weight for row in rows):
            return {"loss": 0.0, "steps": 0.0, "rows_passed": 0.0, "tokens": 0.0, "tokens_computed": 0.0, **figures}
        rows = with_mean_weight_1(rows)
        batches = [batch for epoch in range(self.config.epochs) for batch in self._pass(rows, seed, epoch)]
        done = [self.regression.step(batch, self.config.learning_rate * self._warmth()) for batch in batches]
        tokens = sum(row.length for batch in batches for row in batch)
        return {
            "loss": sum(loss for loss, _ in done) / len(done),
            "steps": float(len(done)),
            "rows_passed": float(sum(map(len, batches))),
            "tokens": float(tokens),
            "tokens_computed": float(sum(size for _, size in done)),
            **figures,
        }

    def _pass(self, rows: Sequence[EncodedRow], seed: int, epoch: int) -> list[list[EncodedRow]]:
        """Return the batches of one pass over rows whose weights have mean 1."""
        random = Random(derive_seed(seed, epoch))
        if self.config.thin:
            taken = [replace(row, weight=max(1.0, row.weight)) for row in rows if random.random() < row.weight]
            rows = with_mean_weight_1(taken)
        return grouped_batches(rows, self.config.rows_per_step, random)

    def _warmth(self) -> float:
        """Factor of the learning rate of the next step."""
        return min(1.0, (self.regression.steps + 1) / max(1, self.config.warmup_steps))

    def _write(self, folder: Path) -> None:
        """Write progress, weights, optimizer and earlier rows."""
        super()._write(folder)
        self._trained.save(folder / "policy")
        self.regression.save(folder / "optimizer.pt")
        write_rows(folder / "earlier.jsonl", self._earlier)

    def _read(self, folder: Path) -> None:
        """Read what `_write` wrote."""
        super()._read(folder)
        self._trained.load(folder / "policy")
        self.regression.load(folder / "optimizer.pt")
        self._earlier = list(read_rows(folder / "earlier.jsonl"))


def _measured(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.reward is not None]


def _weighted(rows: Sequence[Row], weights: Sequence[float | None]) -> list[tuple[Row, WeightedText]]:
    """The rows that train, each with its weighted text."""
    return [
        (row, WeightedText(row.messages, row.action, weight, row.truncated))
        for row, weight in zip(rows, weights, strict=True)
        if weight is not None
    ]
