"""The interface that every algorithm implements: collect, update, save, load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

from w4s_gym.algos.trajectory import Row
from w4s_gym.env import WorkflowDesignEnv


@dataclass(frozen=True)
class Batch:
    """What one call of `collect` gathered."""

    rows: list[Row]
    """Every text the policy wrote."""
    best_workflow: str
    """Source of the best workflow by validation that is known so far in this run."""
    best_accuracy: float
    """Its validation accuracy."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Figures for the learning curve: mean reward, mean accuracy, runnable share, ..."""
    best_cost: float = 0.0
    """What its executor calls are worth in accuracy (`WorkflowDesignEnv.cost`); 0 unless the reward has a price."""

    @property
    def best_value(self) -> float:
        """What validation selects by: accuracy less cost."""
        return self.best_accuracy - self.best_cost


class Algorithm(ABC):
    """Trains a meta-agent, or searches with a frozen one or none.

    What an algorithm accepts is one frozen dataclass; it is made as `Algo(policy, Config(...), run="name/0")`, without
    `policy` if it asks no meta-agent.
    """

    name: str
    """Short name in tables and folders."""

    @property
    def finished(self) -> bool:
        """Whether the algorithm has stopped by its own rule; the run then ends before its budget."""
        return False

    @abstractmethod
    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Interact with the environment for one iteration (an episode, a generation, a round).

        Raises:
            ExecutorUnavailable: the executor could not be asked.
            BudgetExceeded: the run's budget ended; what was measured is in the environment's journal.
        """

    @abstractmethod
    def update(self, batch: Batch) -> dict[str, float]:
        """Learn from a batch; returns figures for the learning curve. Search methods update their archive."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything that `load` needs to go on exactly where this run is."""

    @abstractmethod
    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
