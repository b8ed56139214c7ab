"""Collect and update: one iteration, and a cell's iterations until its budget is spent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from w4s_gym.algos.base import Algorithm, Batch
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import write_rows
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import BudgetExceeded
from w4s_gym.feedback import Memorising
from w4s_gym.racing import Saving
from w4s_gym.study.environment import Workspace
from w4s_gym.study.meter import Written
from w4s_gym.usage import Usage

SEARCHED = 0.7
"""Share of a cell that training or search is, as it is shown; the rest is evaluation."""


@dataclass(frozen=True)
class Iteration:
    """One call of `collect` and the update after it."""

    batch: Batch
    figures: dict[str, float]
    """For the learning curve."""
    learning_seconds: float
    """Wall clock of the update."""


def iterate(algorithm: Algorithm, env: WorkflowDesignEnv, seed: int, number: int, rows: Path) -> Iteration:
    """Play and learn once.

    Args:
        algorithm: plays and learns.
        env: where it plays.
        seed: seed of the run.
        number: number of the iteration, from 0; with the seed it fixes what is played.
        rows: file that every text the policy wrote is appended to.
    """
    batch = algorithm.collect(env, derive_seed("collect", seed, number) % 2**31)
    write_rows(rows, batch.rows)
    start = time.monotonic()
    learned = algorithm.update(batch)
    return Iteration(batch, {**batch.metrics, **learned}, time.monotonic() - start)


@dataclass(frozen=True)
class Found:
    """Best workflow of a search by validation."""

    workflow: str
    accuracy: float
    cost: float = 0.0
    """What its executor calls are worth in accuracy; 0 unless the reward has a price."""


@dataclass(frozen=True)
class Trained:
    """What a run of an algorithm left."""

    best: Found
    curve: list[dict[str, Any]]
    """The learning curve: calls so far, best so far, and the algorithm's own figures, per iteration."""
    usage: Usage
    """What it cost, summed over the environments."""
    saving: Saving
    """What racing saved."""
    memorising: Memorising
    """Accuracy on items that were shown before, and on others, summed over the environments."""
    seconds: float
    learning_seconds: float
    """Part of the seconds that updates took."""
    measured: list[tuple[str, float, float]]
    """Digest, validation accuracy and tokens an item of every workflow that was measured on all validation items."""
    written: Written
    """By the meta-agent."""

    def record(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        return {
            "curve": self.curve,
            "training": asdict(self.usage),
            "racing": asdict(self.saving),
            "memorising": asdict(self.memorising),
            "measured": self.measured,
            "written": self.written.record(),
        }


def updates(curve: Sequence[Mapping[str, float]]) -> int | None:
    """Return in how many iterations of a learning curve the weights changed; None where nothing is learned.

    Regression takes no step without a reward that teaches; GRPO has no gradient where all texts of a state earned the
    same.
    """
    learned = [point for point in curve if "loss" in point]
    if not learned:
        return None
    return sum(map(_changed, learned))


def _changed(point: Mapping[str, float]) -> bool:
    if "steps" in point:
        return point["steps"] > 0
    # GRPO; earlier versions counted the other groups.
    return point.get("groups_with_spread", 1) > 0 and point.get("flat_groups", 0) < 1


def train(space: Workspace, algorithm: Algorithm, envs: Sequence[WorkflowDesignEnv], budget: int) -> Trained:
    """Collect and update until the budget of executor calls is spent; iterations take turns on the environments.

    The run ends at the iteration boundary that is nearest to the budget, so that no measurement is cut in half and the
    numbers do not depend on which call came first.
    """
    start = time.monotonic()
    rows = space.folder / "rows.jsonl"
    curve: list[dict[str, Any]] = []
    best = Found("", -1.0)
    learning = 0.0
    while not algorithm.finished:
        calls = sum(env.ledger.usage.calls for env in envs)
        typical = calls / len(curve) if curve else 0.0
        if calls + typical / 2 >= budget or len(curve) == (space.config.iterations or -1):
            break
        space.tell(f"iteration {len(curve)}", SEARCHED * calls / budget)
        try:
            iteration = iterate(algorithm, envs[len(curve) % len(envs)], space.seed, len(curve), rows)
        except BudgetExceeded:
            if not curve:
                raise
            break  # the dollars are spent: what was learned so far is measured
        batch = iteration.batch
        if not best.workflow or batch.best_value > best.accuracy - best.cost:
            best = Found(batch.best_workflow, batch.best_accuracy, batch.best_cost)
        learning += iteration.learning_seconds
        calls = sum(env.ledger.usage.calls for env in envs)
        curve.append({"calls": calls, "best": best.accuracy, **iteration.figures})
        space.tell(f"iteration {len(curve) - 1}", SEARCHED * calls / budget, curve[-1])
    algorithm.save(space.folder / "state")
    usage = sum((env.ledger.usage for env in envs), Usage())
    saving = sum((env.saving for env in envs), Saving(0, 0, 0, 0))
    measured = [(digest, e.accuracy, e.tokens_per_item) for env in envs for digest, e in env.measured]
    seconds = time.monotonic() - start
    memorising = sum((env.memorising for env in envs), Memorising())
    return Trained(best, curve, usage, saving, memorising, seconds, learning, sorted(measured), space.meter.written)
