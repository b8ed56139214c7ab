"""Tables of what searches find with the whole budget, and of the time that everything takes."""

from __future__ import annotations

import numpy as np

from w4s_gym.study.formats import percent, percent_interval, plain, usage_cells
from w4s_gym.study.results import Results
from w4s_gym.study.stats import HierarchicalBootstrap, cost_per_point
from w4s_gym.study.table import Table


def search_table(results: Results, boot: HierarchicalBootstrap) -> Table:
    """Return the table of search results: the best workflow that the whole budget found."""
    table = Table(
        f"Search: the best workflow of the whole budget{results.mark}",
        ["designer", "val. %", "again %", "test % [95%]", "tok./item", "calls", "tokens", "$", "exec. s", "calls/pt"],
    )
    start = results.reference
    seed_test = float(np.nanmean(results.search_scores(start))) if start else None
    for algo in results.algos:
        found = [cell.result["search"] for cell in results.of(algo)]
        scores = results.search_scores(algo)
        usage = results.usage(algo)
        gain = None
        if seed_test is not None and algo != start:
            gain = cost_per_point(usage["calls"], float(np.nanmean(scores)), seed_test)
        table.add(
            results.label(algo),
            percent(float(np.mean([f["validation"] for f in found]))),
            percent(float(np.mean([f["validation_fresh"] for f in found]))),
            percent_interval(boot.mean(scores, results.stream(algo))),
            plain(float(np.mean([f["tokens_per_item"] for f in found])), ".0f"),
            *usage_cells(usage),
            plain(gain),
        )
    table.notes.append(
        "Selected by validation (val., seed workflows included), measured again on a fresh draw of the same items, "
        "then tested once. Tokens an item: what the workflow found spends. Calls per point: executor calls of the "
        "search per point of test accuracy above the best seed workflow; empty where there was no gain."
    )
    return table


def times_table(results: Results) -> Table:
    """Return wall-clock times of this machine; they differ from run to run."""
    table = Table(
        "Seconds on this machine, mean over seeds",
        ["designer", "search and training", "of which learning", "evaluation", "all", "of which the meta-agent"],
    )
    for algo in results.algos:
        seconds = [cell.result["seconds"] for cell in results.of(algo)]
        means = (np.mean([s[key] for s in seconds]) for key in ("search", "learning", "evaluation", "all"))
        asked = [s["meta_agent"] for s in seconds if s.get("meta_agent")]  # which earlier runs do not have
        table.add(
            results.label(algo),
            *(plain(float(mean), ".1f") for mean in means),
            plain(float(np.mean(asked)), ".1f") if asked else "",
        )
    return table
