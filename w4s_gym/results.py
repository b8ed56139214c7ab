"""Plain results of running workflows: per item, per evaluation, per candidate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from w4s_gym.sandbox.types import ErrorReport, Status
from w4s_gym.usage import Usage


@dataclass(frozen=True)
class ItemResult:
    """What one workflow did on one item."""

    item_id: str
    status: Status
    score: float
    """In [0, 1]; 0 unless the status is `ok`. Meaningless for `infrastructure`, which is left out of means."""
    answer: str = ""
    """The answer that was graded, cut to 2,000 characters."""
    error: ErrorReport | None = None
    usage: Usage = field(default_factory=Usage)
    grading: str = ""
    """What went wrong in the grader, if anything did; the score is then 0."""
    silent: int = 0
    """Replies that ended at their token limit with nothing in them but thoughts."""
    transcript: str = ""
    """What was asked and answered, if the item failed and `limits.transcript` has some of it kept."""


@dataclass(frozen=True)
class Evaluation:
    """A workflow's results on a list of items."""

    items: tuple[ItemResult, ...]
    """In the order of the items that were asked for."""
    planned: int
    """Number of items the evaluation was meant to cover."""
    stopped_early: bool = False
    """True when a stopping rule or the step guard ended it before all items ran."""
    estimate: float | None = None
    """Predicted mean over all planned items, when a stopping rule ended it; `items` holds those that ran."""
    notes: tuple[str, ...] = ()
    """What the meta-agent should know, for instance that `model=` was ignored."""

    @property
    def scored(self) -> tuple[ItemResult, ...]:
        """Results that count: all but `infrastructure`."""
        return tuple(r for r in self.items if r.status != "infrastructure")

    @property
    def accuracy(self) -> float:
        """Mean score over the scored items (0 when none was scored), or the estimate if there is one."""
        if self.estimate is not None:
            return self.estimate
        scored = self.scored
        return sum(r.score for r in scored) / len(scored) if scored else 0.0

    @property
    def usage(self) -> Usage:
        """Sum over the items."""
        return sum((r.usage for r in self.items), Usage())

    @property
    def tokens_per_item(self) -> float:
        """Mean executor tokens of the scored items."""
        scored = self.scored
        return sum(r.usage.tokens for r in scored) / len(scored) if scored else 0.0

    @property
    def dollars_per_item(self) -> float | None:
        """Mean price of the scored items, cached calls included; None when it is unknown."""
        scored = self.scored
        dollars = sum((r.usage for r in scored), Usage()).full_dollars
        return None if dollars is None else dollars / max(1, len(scored))

    @property
    def statuses(self) -> dict[str, int]:
        """Number of items per status."""
        counts: dict[str, int] = {}
        for r in self.items:
            counts[r.status] = counts.get(r.status, 0) + 1
        return counts


CandidateStatus = Literal["evaluated", "needs_repair", "skipped", "infrastructure"]


@dataclass(frozen=True)
class Candidate:
    """One action tried in one state, without advancing the state."""

    action: str
    """The text of the action as the policy wrote it."""
    status: CandidateStatus
    """`evaluated`; `needs_repair` (failed its self-test, repairs are left); `skipped` (failed for good);
    `infrastructure` (could not be measured: mask it out of training)."""
    workflow: str = ""
    """Source found in the action, if any."""
    error: ErrorReport | None = None
    """Why it is not evaluated."""
    evaluation: Evaluation | None = None
    """Validation results, when evaluated."""
    reward: float | None = None
    """Reward it earns if the state advances with it; None for `infrastructure` and `needs_repair`."""
    cost: float = 0.0
    """What its executor calls are worth in accuracy; 0 unless the reward has a price."""
    new_best: bool = False
    """Whether it beats every workflow measured before it in the episode, as the reward rule decides."""
    repairs: int = 0
    """Number of repairs that led to this action."""
    repairs_left: int = 0
    """Number of repairs that are still allowed; 0 unless the status is `needs_repair`."""
    copies: int = 0
    """How many of the attempts were sent back as copies of a workflow that the state shows."""
    attempts: tuple[tuple[tuple[dict[str, str], ...], str], ...] = ()
    """What the policy wrote on the way, oldest first: (messages it saw, text it wrote), this action last."""
    usage: Usage = field(default_factory=Usage)
    """Executor usage of self-tests and validation, all attempts together."""

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy, or None when not evaluated."""
        return self.evaluation.accuracy if self.evaluation else None

    @property
    def value(self) -> float | None:
        """What it is compared by: validation accuracy less cost, or None when not evaluated."""
        return None if self.accuracy is None else self.accuracy - self.cost
