"""The state of the workflow-design MDP."""

from __future__ import annotations

from dataclasses import dataclass

from w4s_gym.sandbox.types import ErrorReport


@dataclass(frozen=True)
class TaskCard:
    """What does not change during an episode."""

    benchmark: str
    description: str
    answer_format: str
    metric: str
    executor: str
    """Name of the executor that runs the workflows."""
    simulated: bool
    max_turns: int
    is_code: bool
    """Answers are programs: `solver` also receives `entry_point`, and public examples can be run."""
    example: str
    """Task text of one validation item."""


@dataclass(frozen=True)
class Attempt:
    """A workflow that was measured, or failed to be."""

    name: str
    """`seed cot`, `turn 3`."""
    workflow: str
    accuracy: float | None
    """Validation accuracy, None if it was skipped."""
    is_seed: bool = False
    reward: float = 0.0


@dataclass(frozen=True)
class FailureCase:
    """A validation item that the current workflow got wrong."""

    question: str
    answer: str
    """What the workflow answered, or how it failed."""
    gold: str


@dataclass(frozen=True)
class DesignState:
    """Everything the next decision may depend on."""

    card: TaskCard
    turn: int
    """Number of turns that are over."""
    workflow: str
    """Source of the current workflow."""
    accuracy: float
    """Its validation accuracy (`last` of the reward)."""
    best: float
    """Best validation accuracy of the episode, seed workflows included."""
    best_workflow: str
    history: tuple[Attempt, ...]
    """Seed workflows, then one attempt a turn, oldest first."""
    cases: tuple[FailureCase, ...]
    """Validation items that the current workflow fails."""
    repair: ErrorReport | None = None
    """Set while the last action waits for a repair."""
    repairs_left: int = 0
