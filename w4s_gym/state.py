"""The state of the workflow-design MDP."""

from __future__ import annotations

from dataclasses import dataclass, replace

from w4s_gym.results import Candidate
from w4s_gym.sandbox.types import ErrorReport


@dataclass(frozen=True)
class PoolCard:
    """What a meta-agent is told about one executor of a pool."""

    name: str
    """What `model=` takes."""
    executor: str
    """Its spec."""
    simulated: bool
    price: tuple[float, float] | None = None
    """US dollars per million tokens of prompts and of completions, if it has a price."""
    caps: str = ""
    """What one workflow may ask of it on one item, in words; empty without a limit."""


@dataclass(frozen=True)
class TaskCard:
    """What does not change during an episode."""

    benchmark: str
    description: str
    answer_format: str
    metric: str
    """`accuracy`, or another name of the mean score."""
    executor: str
    """Name of the executor that runs the workflows."""
    simulated: bool
    max_turns: int
    is_code: bool
    """Answers are programs: `solver` also receives `entry_point`, and public examples can be run."""
    example: str
    """Task text of one validation item."""
    price: str = ""
    """What the executor's calls are worth, in words (`RewardRule.price_text`); empty where they have no price."""
    pool: tuple[PoolCard, ...] = ()
    """The executors that `model=` chooses from; empty where there is one executor only."""


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
    cost: float = 0.0
    """What its executor calls are worth in accuracy; 0 unless the reward has a price."""

    @property
    def value(self) -> float | None:
        """What it is compared by: accuracy less cost, None if it was skipped."""
        return None if self.accuracy is None else self.accuracy - self.cost


@dataclass(frozen=True)
class FailureCase:
    """An item that the current workflow got wrong."""

    question: str
    answer: str
    """What the workflow answered, or how it failed, in brackets."""
    gold: str
    failure: str = ""
    """How it failed instead of answering."""


@dataclass(frozen=True)
class DesignState:
    """Everything the next decision may depend on."""

    card: TaskCard
    turn: int
    """Number of turns that are over."""
    workflow: str
    """Source of the current workflow."""
    accuracy: float
    """Its validation accuracy."""
    best: float
    """Validation accuracy of the best workflow of the episode, seed workflows included."""
    best_workflow: str
    history: tuple[Attempt, ...]
    """Seed workflows, then one attempt a turn, oldest first."""
    cases: tuple[FailureCase, ...]
    """Items that the current workflow fails."""
    repair: ErrorReport | None = None
    """Set while the last action waits for a repair."""
    repairs_left: int = 0
    cost: float = 0.0
    """What the executor calls of the current workflow are worth in accuracy; 0 unless the reward has a price."""
    best_cost: float = 0.0
    """The same of the best workflow."""

    @property
    def value(self) -> float:
        """Accuracy less cost of the current workflow (`last` of the reward)."""
        return self.accuracy - self.cost

    @property
    def best_value(self) -> float:
        """Accuracy less cost of the best workflow (`best` of the reward)."""
        return self.best - self.best_cost


def after(state: DesignState, candidate: Candidate, cases: tuple[FailureCase, ...] = ()) -> DesignState:
    """Return the state that a candidate leads to.

    Args:
        state: the state it was tried in.
        candidate: the candidate, measured on all items if it was measured.
        cases: items that it fails; they enter the state only if it was measured.

    Returns:
        The state that waits for a repair (`needs_repair`), the same state (`infrastructure`: the episode ends), or that
        of the next turn, which keeps the workflow of a skipped candidate out.
    """
    if candidate.status == "needs_repair":
        return replace(state, repair=candidate.error, repairs_left=candidate.repairs_left)
    state = replace(state, repair=None, repairs_left=0)
    if candidate.status == "infrastructure":
        return state
    turn = state.turn + 1
    attempt = Attempt(
        f"turn {turn}",
        candidate.workflow,
        candidate.accuracy,
        reward=float(candidate.reward or 0.0),
        cost=candidate.cost,
    )
    state = replace(state, turn=turn, history=(*state.history, attempt))
    if candidate.accuracy is None:
        return state
    if candidate.accuracy - candidate.cost > state.best_value:
        state = replace(state, best=candidate.accuracy, best_cost=candidate.cost, best_workflow=candidate.workflow)
    return replace(state, workflow=candidate.workflow, accuracy=candidate.accuracy, cost=candidate.cost, cases=cases)
