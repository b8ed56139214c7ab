"""Tables of what meta-agents make of the small design budget, how what they write ends, and what writing cost."""

from __future__ import annotations

from collections import Counter

import numpy as np

from w4s_gym.racing import Saving
from w4s_gym.room import ROOM
from w4s_gym.study.formats import percent, percent_interval, plain, usage_cells
from w4s_gym.study.results import Results
from w4s_gym.study.stats import HierarchicalBootstrap
from w4s_gym.study.table import Number, Table
from w4s_gym.study.training import updates


def design_table(results: Results, boot: HierarchicalBootstrap) -> Table | None:
    """Return the main table: what each meta-agent makes of the same small design budget."""
    config = results.config
    if not results.meta_agents:
        return None
    turns, candidates = config.design_turns, config.design_candidates
    budget = f"{turns} turn{'s' * (turns > 1)}, {candidates} candidate{'s' * (candidates > 1)} a turn"
    table = Table(
        f"Ability to design: {budget}{results.mark}",
        ["designer", "val. %", "test % [95%]", "single %", "runs %", "calls", "tokens", "$", "exec. s"],
    )
    for algo in results.algos:
        designer = results.designer(algo)
        single: Number | str = ""
        runnable: Number | str = ""
        if designer.reference:
            scores = results.search_scores(algo)
            validation = float(np.mean([cell.result["search"]["validation"] for cell in results.of(algo)]))
        elif algo in results.meta_agents:
            scores, validation = results.design_scores(algo), results.design_validation(algo)
            proposals = [proposal for _, proposal in results.single_proposals(algo)]
            single = percent(float(np.mean([p["accuracy"] or 0.0 for p in proposals])))
            runnable = percent(float(np.mean([p["status"] == "evaluated" for p in proposals])))
        else:
            continue
        usage = usage_cells(results.usage(algo)) if designer.trains else [Number("0", 0)] * 4
        test = percent_interval(boot.mean(scores, results.stream(algo)))
        table.add(results.label(algo), percent(validation), test, single, runnable, *usage)
    table.notes.append(
        f"Mean over {config.seeds} seeds x {config.design_episodes} design episodes; each episode's workflow "
        "is selected by validation (val.) among its own designs and tested once. Single: mean validation accuracy "
        "of single proposals, 0 for one that does not run. Runs: share that runs, after repairs. Right: what "
        "training cost (executor calls, tokens, dollars, seconds of executor latency), mean over seeds."
    )
    start = _start(results)
    if start is not None and start >= ROOM:
        table.notes.append(
            f"The workflow that everybody starts from already scores {100 * start:.1f}% on validation{results.mark}: "
            "there is hardly anything to gain, and hardly any reward to learn from."
        )
    idle = [text for algo in results.algos if (text := _without_updates(results, algo))]
    if idle:
        table.notes.append(f"No update of the weights was made by {'; '.join(idle)}: nothing was learned there.")
    saving = sum((Saving(**cell.result["racing"]) for cell in results.cells), Saving(0, 0, 0, 0))
    if saving.candidates:
        table.notes.append(f"While training, {saving.text()}.")
    return table


def _start(results: Results) -> float | None:
    """Mean validation accuracy of the workflow that designs start from."""
    found = [cell.result["design"]["start"]["validation"] for cell in results.cells if "design" in cell.result]
    return float(np.mean(found)) if found else None


def _without_updates(results: Results, algo: str) -> str:
    """Say with which seeds a learner never changed its weights; nothing where it did with all."""
    seeds = [str(cell.seed) for cell in results.of(algo) if updates(cell.result["curve"]) == 0]
    return f"{results.label(algo)} with seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}" if seeds else ""


def ends_table(results: Results) -> Table | None:
    """Return how proposals and test runs end."""
    if not results.meta_agents:
        return None
    table = Table(
        f"How single proposals end, %, and how test runs of the designs end, %{results.mark}",
        ["designer", "first try", "repaired", "skipped", "why skipped", "test runs: ok", "not ok"],
    )
    for algo in results.meta_agents:
        proposals = [proposal for _, proposal in results.single_proposals(algo)]
        ends = Counter(
            "skipped" if p["status"] != "evaluated" else "repaired" if p["repairs"] else "first" for p in proposals
        )
        why = Counter(p["error"] for p in proposals if p["status"] != "evaluated")
        statuses: Counter[str] = Counter()
        for cell in results.of(algo):
            for episode in cell.result["design"]["episodes"]:
                chosen = episode["selected"][str(results.config.design_turns)]["workflow"]
                statuses.update(cell.result["workflows"][chosen]["statuses"])
        total = sum(statuses.values())
        bad = {k: v for k, v in statuses.items() if k != "ok"}
        table.add(
            results.label(algo),
            *(percent(ends[kind] / len(proposals)) for kind in ("first", "repaired", "skipped")),
            ", ".join(f"{kind} {count}" for kind, count in why.most_common(3)),
            percent(statuses["ok"] / total),
            ", ".join(f"{kind} {percent(count / total).text}" for kind, count in sorted(bad.items())),
        )
    return table


def written_table(results: Results) -> Table | None:
    """Return what the meta-agents wrote while they were trained, beside what executors were asked meanwhile."""
    cells = [cell for cell in results.cells if cell.result.get("written", {}).get("texts")]
    if not cells:
        return None
    table = Table(
        f"The meta-agent's own cost of training or search, mean over seeds{results.mark}",
        ["designer", "updates", "texts", "tokens read", "tokens written", "executor tokens"],
    )
    for algo in results.algos:
        own = [cell for cell in results.of(algo) if cell in cells]
        if not own:
            continue
        made = [updates(cell.result["curve"]) for cell in own]
        table.add(
            results.label(algo),
            "" if None in made else plain(float(np.mean([count or 0 for count in made])), ".1f"),
            *(
                plain(float(np.mean([cell.result["written"][key] for cell in own])))
                for key in ("texts", "prompt_tokens", "completion_tokens")
            ),
            plain(results.usage(algo)["tokens"]),
        )
    table.notes.append("Its seconds stand in `times.md`. Updates: iterations that changed its weights.")
    return table
