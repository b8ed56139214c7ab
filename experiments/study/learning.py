"""What a study's meta-agents proposed, update by update, and what was found beside what the models do alone."""

from __future__ import annotations

import numpy as np

from w4s_gym.study.results import Results
from w4s_gym.study.stats import HierarchicalBootstrap
from w4s_gym.study.table import Table


def learning_table(results: Results) -> Table:
    """Return what was proposed in each iteration, summed over seeds; an iteration is played before its update."""
    mark = " (simulated)" if results.simulated else ""
    table = Table(
        f"Proposals by iteration{mark}",
        ["designer", "iteration", "n", "run at once %", "mean acc. %", "distinct", "copies", "new bests", "updates"],
        notes=[
            "Iteration 1 is before any update. Run at once: first attempts that pass the self-test. Mean validation "
            "accuracy: 0 for what does not run, predicted for what racing gave up. Distinct: different workflows among "
            "those measured. Updates: seeds whose update of the iteration before changed the weights."
        ],
    )
    for algo in results.algos:
        curves = [cell.result["curve"] for cell in results.of(algo)]
        for number in range(max(map(len, curves))):
            points = [curve[number] for curve in curves if number < len(curve) and "runnable" in curve[number]]
            if not points:
                continue
            before = [curve[number - 1] for curve in curves if 0 < number < len(curve)]
            learned = sum(point.get("steps", 0.0) > 0 for point in before)
            table.add(
                results.label(algo),
                str(number + 1),
                f"{sum(p['candidates'] for p in points):.0f}",
                f"{100 * float(np.mean([p['runnable'] for p in points])):.0f}",
                f"{100 * float(np.mean([p['accuracy'] for p in points])):.1f}",
                *(f"{sum(p[key] for p in points):.0f}" for key in ("distinct", "copies", "new_best")),
                f"{learned} of {len(before)}" if results.designer(algo).trains and before else "",
            )
    return table


def found_table(results: Results, alone: Results | None) -> Table:
    """Return the test accuracy of what each designer found, with paired differences.

    Args:
        results: the comparison.
        alone: the meta-agent's own model asked directly, if it was.
    """
    mark = " (simulated)" if results.simulated else ""
    boot = HierarchicalBootstrap(results.items)
    reference = results.reference
    asked = "direct" if "direct" in results.algos else None
    table = Table(
        f"Workflows found, on {results.items} test items{mark}",
        ["designer", "validation %", "test % [95%]", "v best seed [95%]", "v executor asked directly [95%]"],
        notes=["Differences in points, paired over items."],
    )

    def gap(scores: np.ndarray, stream: int, other: str | None, algo: str) -> str:
        if other is None or other == algo:
            return ""
        found = boot.difference(scores, stream, results.search_scores(other), results.stream(other))
        return f"{100 * found.value:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"

    shown = [(results, algo, results.label(algo), results.stream(algo)) for algo in results.algos]
    if alone is not None:
        shown.append((alone, "direct", f"the meta-agent's model {alone.label('direct')}", len(results.algos)))
    for owner, algo, label, stream in shown:
        scores = owner.search_scores(algo)
        validation = np.mean([cell.result["search"]["validation"] for cell in owner.of(algo)])
        same = algo if owner is results else ""
        table.add(
            label,
            f"{100 * float(validation):.1f}",
            boot.mean(scores, stream).percent(),
            gap(scores, stream, reference, same),
            gap(scores, stream, asked, same),
        )
    return table
