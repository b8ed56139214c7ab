"""What RLAO, SFT and the untrained meta-agent share: collecting rows, and writing and reading the state of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from w4s_gym.algos.base import Algorithm, Batch
from w4s_gym.algos.hf_policy import HFPolicy
from w4s_gym.algos.policy import Policy
from w4s_gym.algos.regression import RegressionConfig, RegressionTrainer, WeightedText
from w4s_gym.algos.rollout import roll_out
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row, read_rows, write_rows
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    iterations: int = 0
    """Calls of `collect` that are over."""
    updates: int = 0
    best_workflow: str = ""
    best_accuracy: float = -1.0


class MetaAgent(Algorithm):
    """A meta-agent that plays best-of-m episodes. Subclasses say how it learns from the rows."""

    def __init__(self, policy: Policy, *, candidates: int = 5, episodes: int = 1, run: str = "") -> None:
        """Wrap a policy.

        Args:
            policy: the meta-agent.
            candidates: candidates a turn (m).
            episodes: episodes of one call of `collect`.
            run: `<algorithm>/<seed>`, kept in the rows (default: the algorithm's name).
        """
        if candidates < 1 or episodes < 1:
            raise ConfigError(f"expected at least 1 candidate and 1 episode; got {candidates} and {episodes}")
        self.policy = policy
        self.candidates = candidates
        self.episodes = episodes
        self.run = run or self.name
        self.progress = Progress()

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Play `episodes` episodes; figures are means over them."""
        batches = []
        for i in range(self.episodes):
            number = self.progress.iterations * self.episodes + i
            episode_seed = seed if i == 0 else derive_seed("episode", seed, i) % 2**31
            batch = roll_out(env, self.policy, m=self.candidates, seed=episode_seed, run=self.run, episode=number)
            if batch.best_accuracy > self.progress.best_accuracy:
                self.progress = replace(
                    self.progress, best_workflow=batch.best_workflow, best_accuracy=batch.best_accuracy
                )
            batches.append(batch)
        self.progress = replace(self.progress, iterations=self.progress.iterations + 1)
        return Batch(
            [row for batch in batches for row in batch.rows],
            self.progress.best_workflow,
            self.progress.best_accuracy,
            {key: sum(b.metrics[key] for b in batches) / len(batches) for key in batches[0].metrics},
        )

    def save(self, folder: Path) -> None:
        """Write how far the run is."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {"name": self.name, **self.progress.__dict__}
        (folder / "progress.json").write_text(json.dumps(state), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ConfigError: the folder holds the state of another algorithm, or none.
        """
        file = folder / "progress.json"
        if not file.exists():
            raise ConfigError(f"expected the saved state of {self.name}; there is no file {file}")
        state = json.loads(file.read_text(encoding="utf-8"))
        if state.pop("name") != self.name:
            raise ConfigError(f"expected the saved state of {self.name}; {file} is of another algorithm")
        self.progress = Progress(**state)


class Untrained(MetaAgent):
    """The meta-agent as it is, in the same loop as the trained ones."""

    name = "untrained"

    def update(self, batch: Batch) -> dict[str, float]:
        """Nothing is learned."""
        return {}


class RegressionAgent(MetaAgent):
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
            **regression: fields of `RegressionConfig`; `lr`, `epochs`, `thin` and `warmup_steps` are by default the
                policy's.

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
                "lr": policy.config.learning_rate,
                "epochs": policy.config.epochs,
                "thin": policy.config.thin,
                "warmup_steps": policy.config.warmup_steps,
            }
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
        self._trained.weights_changed()
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
