"""Tables of what the scores allow to conclude: robust means, paired differences, what choosing by validation costs."""

from __future__ import annotations

from w4s_gym.study.formats import interval, percent, percent_interval, plain, points
from w4s_gym.study.results import Results
from w4s_gym.study.stats import HierarchicalBootstrap, flip_rate, selection_optimism, wilson
from w4s_gym.study.table import Number, Table


def iqm_table(results: Results, boot: HierarchicalBootstrap) -> Table:
    """Return interquartile means over runs."""
    table = Table(
        f"Test accuracy, interquartile mean over runs{results.mark}", ["designer", "design budget %", "search %"]
    )
    for algo in results.algos:
        stream = results.stream(algo)
        design: Number | str = ""
        if algo in results.meta_agents:
            design = percent_interval(boot.iqm(results.design_scores(algo), stream))
        table.add(results.label(algo), design, percent_interval(boot.iqm(results.search_scores(algo), stream)))
    return table


def improvement_table(results: Results, boot: HierarchicalBootstrap) -> Table | None:
    """Return paired differences and probabilities of improvement of the trained meta-agents."""
    # Those that are compared with the most others stand first.
    first = sorted(results.meta_agents, key=lambda algo: -len(results.designer(algo).against))
    pairs = [(a, b) for a in first for b in results.designer(a).against if b in results.meta_agents]
    if not pairs:
        return None
    table = Table(
        f"Differences at the design budget, paired over items{results.mark}",
        ["comparison", "test difference, points [95%]", "probability of improvement [95%]"],
    )
    for a, b in pairs:
        x, y = results.design_scores(a), results.design_scores(b)
        streams = results.stream(a), results.stream(b)
        table.add(
            f"{results.label(a)} v {results.label(b)}",
            points(boot.difference(x, streams[0], y, streams[1])),
            interval(boot.probability_of_improvement(x, streams[0], y, streams[1])),
        )
    table.notes.append("Probability that an episode of the first beats an episode of the second; ties count half.")
    return table


def optimism_table(results: Results) -> Table | None:
    """Return what choosing by validation costs."""
    groups, first, second = [], [], []
    for algo in results.meta_agents:
        for cell in results.of(algo):
            tested = {p["workflow"]: p for c, p in results.single_proposals(algo) if c is cell and p["workflow"]}
            groups.append([(p["accuracy"], cell.test(digest)) for digest, p in tested.items()])
            first += [p["accuracy"] for p in tested.values()]
            second += [p["accuracy_fresh"] for p in tested.values()]
    found = selection_optimism(groups)
    if found is None:
        return None
    again = wilson(sum(b > a for a, b in zip(first, second, strict=True)), len(first))
    table = Table(f"Selection optimism{results.mark}", ["figure", "value"])
    table.add("validation of the workflow that validation selects %", percent(found.selected_validation))
    table.add("its test %", percent(found.selected_test))
    table.add("highest test of the same workflows (oracle) %", percent(found.oracle_test))
    table.add("optimism (validation - test), points", plain(100 * found.optimism, "+.1f"))
    table.add("Spearman of validation and test", plain(found.spearman, ".2f", "undefined"))
    table.add("A/A flip rate of pairs", plain(flip_rate(first, second), ".2f", "undefined"))
    table.add("a second measurement beats the first (A/A)", interval(again))
    table.add("workflows", plain(found.workflows, ".0f"))
    table.notes.append("Over the distinct single proposals of all meta-agents and seeds, each measured on both splits.")
    return table


def memorising_table(results: Results) -> Table | None:
    """Return accuracies on items that were shown to who wrote the workflows, and on others."""
    table = Table(
        f"Memorising: accuracy on items whose answers were shown before, and on others{results.mark}",
        ["designer", "shown %", "unseen %", "shown runs", "unseen runs"],
    )
    for algo in results.algos:
        found = results.memorising(algo)
        accuracies = found.accuracies()
        if accuracies is not None:
            sizes = plain(found.shown_items), plain(found.unseen_items)
            table.add(results.label(algo), *map(percent, accuracies), *sizes)
    if not table.rows:
        return None
    pay = results.config.environment_options()["feedback_items"] == 0
    table.notes.append(
        "What is shown are failures, so a workflow that has learnt nothing by heart does worse on them than on others. "
        f"The items that failures are shown from {'are those that pay, as published' if pay else 'do not pay'}."
    )
    return table
