"""A hill climber: the smallest complete algorithm, as an example of the interface."""

from __future__ import annotations

import json
from pathlib import Path

from w4s_gym.algos import checkpoint
from w4s_gym.algos.base import Algorithm, Batch
from w4s_gym.algos.policies.base import Policy
from w4s_gym.env import WorkflowDesignEnv


class HillClimber(Algorithm):
    """Asks a frozen meta-agent for one workflow at a time; the state moves on only when it is better."""

    name = "hill_climber"

    def __init__(self, policy: Policy) -> None:
        """Search with a frozen policy."""
        self.policy = policy
        self.steps = 0
        self.best = ("", -1.0)

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Propose one workflow in the state that the best one left."""
        if self.steps == 0:
            env.reset(seed=seed)
            self.best = (env.state.best_workflow, env.state.best)
        self.steps += 1
        action = self.policy.sample([env.messages], 1, seed)[0][0].text
        candidate = env.evaluate_candidates([action])[0]
        if candidate.accuracy is not None and candidate.accuracy > self.best[1]:
            self.best = (candidate.workflow, candidate.accuracy)
            if env.state.turn + 1 < env.state.card.max_turns:
                env.advance(candidate)
        return Batch([], *self.best, {"accuracy": candidate.accuracy or 0.0})

    def update(self, batch: Batch) -> dict[str, float]:
        """Nothing is learned."""
        return {}

    def save(self, folder: Path) -> None:
        """Write the best workflow."""
        with checkpoint.saving(folder) as scratch:
            (scratch / "hill_climber.json").write_text(json.dumps([self.steps, *self.best]))

    def load(self, folder: Path) -> None:
        """Read the best workflow; the climb goes on from a fresh episode."""
        checkpoint.settle(folder)
        _, workflow, accuracy = json.loads((folder / "hill_climber.json").read_text())
        self.steps, self.best = 0, (workflow, accuracy)
