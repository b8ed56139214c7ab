"""Reads the cells of a comparison out of a run folder and arranges their scores as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any, Self

import numpy as np

from w4s_gym.errors import ConfigError
from w4s_gym.feedback import Memorising
from w4s_gym.journal import RunFolder
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.designers import DESIGNERS, Designer, find_designer


@dataclass(frozen=True)
class CellResult:
    """What a finished cell left."""

    algo: str
    seed: int
    result: dict[str, Any]

    def test(self, digest: str) -> float:
        """Test accuracy of a workflow."""
        return self.result["workflows"][digest]["accuracy"]

    def scores(self, digest: str) -> np.ndarray:
        """Test scores of a workflow by item; NaN where the executor could not be asked."""
        return np.array(self.result["workflows"][digest]["scores"], dtype=float)


class Results:
    """Finished cells that can be compared: tested on the same items."""

    def __init__(
        self,
        config: CompareConfig,
        facts: dict[str, Any],
        cells: list[CellResult],
        failures: list[dict[str, Any]],
    ) -> None:
        """Arrange cells.

        Args:
            config: configuration of the comparison.
            facts: versions, platform and whether the executor is simulated.
            cells: the finished cells.
            failures: journal records of cells that have no result.

        Raises:
            ConfigError: no cell is finished, or cells were tested on different items.
        """
        self.config, self.facts, self.cells, self.failures = config, facts, cells, failures
        self.simulated = bool(facts["simulated"])
        if not cells:
            first = failures[0] if failures else None
            why = f"; the first failure, of {first['algo']}/{first['seed']}: {first['error']}" if first else " yet"
            raise ConfigError(f"expected at least one finished cell; there is none{why}")
        tested = {tuple(w["items"]) for cell in cells for w in cell.result["workflows"].values()}
        if len(tested) != 1:
            raise ConfigError("expected all workflows to be tested on the same items")
        self.items = len(tested.pop())

    @classmethod
    def of_run(cls, folder: RunFolder, variant: str = "", config: CompareConfig | None = None) -> Self:
        """Read one variant of a study from its journal; `config` is needed where the folder's is that of a study."""
        cells = [
            CellResult(r["algo"], r["seed"], r["result"]) for r in folder.records("cell") if r["variant"] == variant
        ]
        done = {(cell.algo, cell.seed) for cell in cells}
        failures = [
            r for r in folder.records("failure") if r["variant"] == variant and (r["algo"], r["seed"]) not in done
        ]
        return cls(config or CompareConfig.of_run(folder.config), folder.facts, cells, failures)

    @property
    def mark(self) -> str:
        """What stands behind the title of whatever shows simulated figures."""
        return " (simulated)" if self.simulated else ""

    @property
    def algos(self) -> list[str]:
        """Names of the designers with a finished cell, in the order of the tables."""
        return sorted({cell.algo for cell in self.cells}, key=self._order.index)

    @property
    def _order(self) -> list[str]:
        return [*DESIGNERS, *self.config.algos]

    @property
    def meta_agents(self) -> list[str]:
        """Those that were asked for designs at the design budget."""
        return [algo for algo in self.algos if "design" in self.of(algo)[0].result]

    def label(self, algo: str) -> str:
        """Name of a designer in tables."""
        return self.designer(algo).label

    def designer(self, algo: str) -> Designer:
        """The designer of this name."""
        return find_designer(algo)

    @property
    def reference(self) -> str | None:
        """The designer whose workflow everybody starts from, if it took part."""
        return next((algo for algo in self.algos if self.designer(algo).reference), None)

    @property
    def baseline(self) -> str | None:
        """The meta-agent before training, if it took part."""
        return next((algo for algo in self.algos if self.designer(algo).baseline), None)

    def of(self, algo: str) -> list[CellResult]:
        """Finished cells of a designer by seed."""
        return sorted((cell for cell in self.cells if cell.algo == algo), key=lambda cell: cell.seed)

    def stream(self, algo: str) -> int:
        """Number that fixes the bootstrap resamples of a designer."""
        return self._order.index(algo)

    def search_scores(self, algo: str) -> np.ndarray:
        """Test scores of what the searches found: (seeds, 1, items)."""
        return np.array([[cell.scores(cell.result["search"]["workflow"])] for cell in self.of(algo)])

    def design_scores(self, algo: str, turns: int | None = None) -> np.ndarray:
        """Test scores of what was designed within a number of turns (default: the budget): (seeds, episodes, items)."""
        key = str(turns or self.config.design_turns)
        return np.array(
            [
                [cell.scores(episode["selected"][key]["workflow"]) for episode in cell.result["design"]["episodes"]]
                for cell in self.of(algo)
            ]
        )

    def design_validation(self, algo: str) -> float:
        """Mean validation accuracy of the selected designs."""
        key = str(self.config.design_turns)
        return float(
            np.mean(
                [e["selected"][key]["validation"] for cell in self.of(algo) for e in cell.result["design"]["episodes"]]
            )
        )

    def single_proposals(self, algo: str) -> list[tuple[CellResult, dict[str, Any]]]:
        """Candidates of first turns: what the meta-agent writes before it has seen any feedback."""
        return [
            (cell, proposal)
            for cell in self.of(algo)
            for episode in cell.result["design"]["episodes"]
            for proposal in episode["proposals"][0]
            if proposal["status"] != "infrastructure"
        ]

    def best_of_candidates(self, algo: str, count: int) -> list[float]:
        """Expected test accuracy, by seed, when validation selects among `count` single proposals.

        The expectation is over all subsets of the proposals that were made, so no episode has to be run for it. If
        none of a subset runs, the start workflow is what is left.
        """
        means = []
        for cell in self.of(algo):
            start = cell.test(cell.result["design"]["start"]["workflow"])
            ranked = []
            for owner, proposal in self.single_proposals(algo):
                if owner is cell:
                    ran = proposal["workflow"] != ""
                    ranked.append((proposal["accuracy"], cell.test(proposal["workflow"])) if ran else (-1.0, start))
            ranked.sort(key=lambda pair: -pair[0])
            total = comb(len(ranked), count)
            means.append(sum(comb(len(ranked) - 1 - i, count - 1) / total * test for i, (_, test) in enumerate(ranked)))
        return means

    def memorising(self, algo: str) -> Memorising:
        """Accuracy on items that were shown before and on others, in training or search and at the design budget."""
        parts = [part for cell in self.of(algo) for part in (cell.result, cell.result.get("design", {}))]
        # Runs of earlier versions have none.
        return sum((Memorising(**part["memorising"]) for part in parts if "memorising" in part), Memorising())

    def usage(self, algo: str) -> dict[str, float | None]:
        """Mean usage of training or search over seeds: calls, tokens, dollars, seconds of the executor."""
        usages = [cell.result["training"] for cell in self.of(algo)]
        prices = [usage["dollars"] for usage in usages]
        return {
            "calls": float(np.mean([usage["calls"] for usage in usages])),
            "tokens": float(np.mean([usage["prompt_tokens"] + usage["completion_tokens"] for usage in usages])),
            "dollars": None if any(price is None for price in prices) else float(np.mean(prices)),
            "seconds": float(np.mean([usage["seconds"] for usage in usages])),
        }
