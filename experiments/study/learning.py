"""What a study's meta-agents proposed, update by update, and what was found beside what the models do alone."""

from __future__ import annotations

import numpy as np

from w4s_gym.study.formats import percent, percent_interval, plain, points
from w4s_gym.study.results import Results
from w4s_gym.study.stats import HierarchicalBootstrap
from w4s_gym.study.table import Number, Table
from w4s_gym.study.training import updates

COLUMNS = (
    ("runnable", "run at once %", 100),
    ("accuracy", "mean acc. %", 100),
    ("distinct", "distinct", 0),
    ("copies", "copies", 0),
    ("new_best", "new bests", 0),
    ("groups_with_spread", "spread %", 100),
    ("effective_rows", "eff. rows", 1),
    ("new_best_weight", "weight on new bests %", 100),
)
"""Figure of the learning curve, column, and what its mean over seeds is multiplied by (0: the sum is shown)."""


def learning_table(results: Results) -> Table | None:
    """Return what was proposed in each iteration and what its update learned from; None where nothing was proposed."""
    table = Table(
        f"Proposals by iteration{results.mark}",
        ["designer", "iteration", "n", *(name for _, name, _ in COLUMNS), "learned"],
        notes=[
            "n, distinct, copies and new bests: sums over seeds; the others: means. An iteration is played before its "
            "update, so the first one shows the start. Run at once: first attempts that pass the self-test. Accuracy: "
            "on validation, 0 for what does not run, predicted for what racing gave up. Distinct: different workflows "
            "among those measured. Copies: texts sent back as copies. Spread: states whose candidates did not all earn "
            "the same. Eff. rows: effective sample size of the update's weights. Learned: seeds whose update changed "
            "the weights."
        ],
    )
    for algo in results.algos:
        curves = [cell.result["curve"] for cell in results.of(algo)]
        for number in range(max(map(len, curves))):
            played = [curve[number] for curve in curves if number < len(curve) and "candidates" in curve[number]]
            if not played:
                continue
            learned = updates(played) or 0
            table.add(
                results.label(algo),
                str(number + 1),
                plain(sum(point["candidates"] for point in played)),
                *(_figure([point[key] for point in played if key in point], scale) for key, _, scale in COLUMNS),
                f"{learned} of {len(played)}" if results.designer(algo).trains else "",
            )
    return table if table.rows else None


def _figure(values: list[float], scale: int) -> Number | str:
    if not values:
        return ""
    return plain(scale * float(np.mean(values)), ".1f") if scale else plain(sum(values))


def found_table(results: Results, alone: Results | None) -> Table:
    """Return the test accuracy of what each designer found, with paired differences.

    Args:
        results: the comparison.
        alone: the meta-agent's own model asked directly, if it was.
    """
    boot = HierarchicalBootstrap(results.items)
    reference = results.reference
    asked = "direct" if "direct" in results.algos else None
    table = Table(
        f"Workflows found, on {results.items} test items{results.mark}",
        ["designer", "validation %", "test % [95%]", "v best seed [95%]", "v executor asked directly [95%]"],
        notes=["Differences in points, paired over items."],
    )

    def gap(scores: np.ndarray, stream: int, other: str | None, algo: str) -> Number | str:
        if other is None or other == algo:
            return ""
        return points(boot.difference(scores, stream, results.search_scores(other), results.stream(other)))

    shown = [(results, algo, results.label(algo), results.stream(algo)) for algo in results.algos]
    if alone is not None:
        shown.append((alone, "direct", f"the meta-agent's model {alone.label('direct')}", len(results.algos)))
    for owner, algo, label, stream in shown:
        scores = owner.search_scores(algo)
        validation = np.mean([cell.result["search"]["validation"] for cell in owner.of(algo)])
        same = algo if owner is results else ""
        table.add(
            label,
            percent(float(validation)),
            percent_interval(boot.mean(scores, stream)),
            gap(scores, stream, reference, same),
            gap(scores, stream, asked, same),
        )
    return table
