"""`w4s-gym diff`: what differs between two comparisons, paired over items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from w4s_gym.commands.finished import read_comparison
from w4s_gym.errors import ConfigError
from w4s_gym.options import refuse_unknown
from w4s_gym.study.board import console
from w4s_gym.study.formats import percent_interval, points
from w4s_gym.study.results import Results
from w4s_gym.study.stats import HierarchicalBootstrap
from w4s_gym.study.table import Table


@dataclass(frozen=True)
class Diff:
    """Print the test accuracy of two comparisons and its differences, second minus first, paired over items."""

    first: tyro.conf.Positional[Path]
    """Run folder."""
    second: tyro.conf.Positional[Path]
    """Run folder."""
    designers: tuple[str, ...] = ()
    """Designers to look at; by default all that both runs have. `untrained=rlao` sets the first run's untrained
    meta-agent against the second one's RLAO."""
    items: int = 10
    """Most items to list for each designer, those that changed most."""

    def run(self) -> int:
        """Read and print."""
        first, second = read_comparison(self.first)[1], read_comparison(self.second)[1]
        pairs = [(a, b or a) for a, _, b in (name.partition("=") for name in self.designers)]
        pairs = pairs or [(algo, algo) for algo in first.algos if algo in second.algos]
        if not pairs:
            raise ConfigError(
                f"expected a designer that both runs have, or a pair of two such as --designers untrained=rlao; "
                f"{self.first} has {', '.join(first.algos)}, {self.second} has {', '.join(second.algos)}"
            )
        refuse_unknown([a for a, _ in pairs], first.algos, "--designers", f"designers of {self.first}")
        refuse_unknown([b for _, b in pairs], second.algos, "--designers", f"designers of {self.second}")
        for table in diff_tables(first, second, pairs, self.items):
            table.show(console)
        return 0


def diff_tables(first: Results, second: Results, pairs: Sequence[tuple[str, str]], items: int) -> list[Table]:
    """Compare two runs on the items that both tested.

    Args:
        first: finished cells of a run.
        second: finished cells of the other.
        pairs: a designer of the first run and one of the second, which may be the same.
        items: most items to list for each.

    Returns:
        The differences, and the items that changed.

    Raises:
        ConfigError: the runs have no test item in common.
    """
    known = [_tested(first), _tested(second)]
    shared = [item for item in known[0] if item in set(known[1])]
    if not shared or first.config.env != second.config.env:
        raise ConfigError(
            f"expected two runs that were tested on the same items; one is on {first.config.env}, "
            f"the other on {second.config.env}, and {len(shared)} items are the same"
        )
    columns = [[ids.index(item) for item in shared] for ids in known]
    boot = HierarchicalBootstrap(len(shared))
    mark = " (simulated)" if first.simulated or second.simulated else ""
    table = Table(
        f"Test accuracy on {len(shared)} items of {first.config.env}{mark}",
        ["designer", "first % [95%]", "second % [95%]", "difference, points [95%]", "items better", "worse"],
    )
    changed = Table(f"Items that changed most{mark}", ["designer", "item", "first %", "second %"])
    for one, other in pairs:
        a, b = _scores(first, one)[:, :, columns[0]], _scores(second, other)[:, :, columns[1]]
        streams = 2 * first.stream(one), 2 * second.stream(other) + 1
        label = first.label(one) if one == other else f"{first.label(one)}, {second.label(other)}"
        means = np.nanmean(a, axis=(0, 1)), np.nanmean(b, axis=(0, 1))
        change = means[1] - means[0]
        table.add(
            label,
            percent_interval(boot.mean(a, streams[0])),
            percent_interval(boot.mean(b, streams[1])),
            points(boot.difference(b, streams[1], a, streams[0])),
            str(int((change > 0).sum())),
            str(int((change < 0).sum())),
        )
        for i in np.argsort(-np.abs(change), kind="stable")[:items]:
            if change[i]:
                changed.add(label, shared[i], f"{100 * means[0][i]:.0f}", f"{100 * means[1][i]:.0f}")
    table.notes.append(
        "Meta-agents: what they design at the small budget; the others: what their search found. An item's score is "
        "the mean over seeds and episodes."
    )
    return [table, changed] if changed.rows else [table]


def _tested(results: Results) -> list[str]:
    """Ids of the test items, in their order."""
    workflows = results.cells[0].result["workflows"].values()
    return list(next(iter(workflows))["items"])


def _scores(results: Results, algo: str) -> np.ndarray:
    return results.design_scores(algo) if algo in results.meta_agents else results.search_scores(algo)
