"""The test of a cell's workflows: the only place of a study that opens the test split."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from w4s_gym.algos.seeding import derive_seed
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.measure import digest
from w4s_gym.results import Evaluation
from w4s_gym.study.training import Found


class FinalTest:
    """Tests workflows, each once, on a draw that training never saw, and remembers the results by digest."""

    def __init__(self, env: WorkflowDesignEnv, seed: int, one_draw: bool) -> None:
        """Prepare the tests of the cells with one seed: their draws are the same for all designers.

        Args:
            env: the benchmark.
            seed: of the cells.
            one_draw: test all seeds on one draw of the executor's randomness (`CompareConfig.one_test_draw`).
        """
        self.env = env
        self.seed = derive_seed("evaluate", seed) % 2**31
        """Seed and draw of the design episodes."""
        self._draw = derive_seed("test", *([] if one_draw else [seed])) % 2**31
        self.workflows: dict[str, dict[str, Any]] = {}
        """Digest -> source and test results, as plain data."""

    def test(self, workflow: str) -> str:
        """Test a workflow unless it was tested before; returns its digest."""
        key = digest(workflow)
        if key not in self.workflows:
            evaluation = self.env.evaluate_test(workflow, self._draw)
            self.workflows[key] = {"source": workflow, **_scores(evaluation)}
        return key

    def again(self, workflow: str) -> float:
        """Measure a workflow on a fresh draw of the validation items."""
        return self.env.evaluate_workflow(workflow, self._draw).accuracy

    def search(self, found: Found) -> dict[str, Any]:
        """Measure the result of a search: once more on a fresh draw of the validation items, then on the test items."""
        fresh = self.env.evaluate_workflow(found.workflow, self._draw)
        cost = {"cost": found.cost, "cost_fresh": self.env.cost(fresh)} if self.env.reward_rule.priced else {}
        return {
            "workflow": self.test(found.workflow),
            "validation": found.accuracy,
            "validation_fresh": fresh.accuracy,
            "tokens_per_item": fresh.tokens_per_item,
            **cost,
        }


def _scores(evaluation: Evaluation) -> dict[str, Any]:
    """Test results as plain data; the score of an item that could not be asked is None."""
    return {
        "accuracy": evaluation.accuracy,
        "items": [r.item_id for r in evaluation.items],
        "scores": [None if r.status == "infrastructure" else r.score for r in evaluation.items],
        "statuses": evaluation.statuses,
        "usage": asdict(evaluation.usage),
    }
