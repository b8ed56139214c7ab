"""Tables of a comparison, made from the journal alone."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from w4s_gym.command_line import missing_extra
from w4s_gym.journal import RunFolder
from w4s_gym.racing import Saving
from w4s_gym.study.best_workflow import write_best_workflow
from w4s_gym.study.board import console
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.results import Results
from w4s_gym.study.stats import Estimate, HierarchicalBootstrap, cost_per_point, flip_rate, selection_optimism, wilson
from w4s_gym.study.table import Table


class ComparisonReport:
    """All tables of a comparison."""

    def __init__(self, results: Results) -> None:
        """Compute the figures."""
        self.results = results
        self.mark = " (simulated)" if results.simulated else ""
        self.boot = HierarchicalBootstrap(results.items)
        tables = [self._design(), self._search(), self._iqm(), self._improvement(), self._optimism(), self._failures()]
        self.tables = [table for table in tables if table is not None]

    def markdown(self) -> str:
        """Write all tables but the wall-clock times: the same run gives the same text."""
        config = self.results.config
        head = (
            f"# Comparison on {config.env}, executor {config.executor}{self.mark}, "
            f"meta-agent {config.policy}\n\n{self._conditions()}\n"
        )
        return "\n".join([head, *(table.markdown() for table in self.tables)])

    def show(self, console: Console) -> None:
        """Print all tables."""
        console.print()
        for table in [*self.tables, self.times()]:
            table.show(console)
        console.print(self._conditions(), style="dim", markup=False)
        for failure in self.results.failures:
            console.print(f"{failure['algo']}/{failure['seed']} failed: {failure['error']}", style="red")

    def write(self, folder: Path) -> None:
        """Write `table.md`, `times.md` and `figures.json`."""
        (folder / "table.md").write_text(self.markdown(), encoding="utf-8")
        (folder / "times.md").write_text(self.times().markdown(), encoding="utf-8")
        figures = json.dumps([asdict(table) for table in self.tables], indent=1, ensure_ascii=False)
        (folder / "figures.json").write_text(figures + "\n", encoding="utf-8")

    def _conditions(self) -> str:
        config = self.results.config
        missing = [
            f"{self.results.label(algo)} has {len(self.results.of(algo))}"
            for algo in self.results.algos
            if len(self.results.of(algo)) < config.seeds
        ]
        unfinished = f" (unfinished: {', '.join(missing)})" if missing else ""
        cap = f", at most {config.iterations} iterations" if config.iterations else ""
        text = (
            f"{config.seeds} seeds{unfinished}; budget of {config.budget:,} executor calls for training or "
            f"search{cap}; {config.validation_size} validation and {self.results.items} test items, the same for "
            "all. Intervals: 95%, bootstrap over seeds, episodes and items."
        )
        if self.results.simulated:
            text += " All scores, calls, tokens, dollars and latencies are simulated."
        for title, options in (("environment", config.env_options), ("algorithms", config.algo_options)):
            if options:
                text += f" Options of the {title}: `{json.dumps(options)}`."
        return text

    def _test(self, scores: np.ndarray, algo: str) -> str:
        return self.boot.mean(scores, self.results.stream(algo)).percent()

    def _design(self) -> Table | None:
        """Return the main table: what each meta-agent makes of the same small design budget."""
        results, config = self.results, self.results.config
        if not results.meta_agents:
            return None
        turns, candidates = config.design_turns, config.design_candidates
        budget = f"{turns} turn{'s' * (turns > 1)}, {candidates} candidate{'s' * (candidates > 1)} a turn"
        table = Table(
            f"Ability to design: {budget}{self.mark}",
            ["designer", "val. %", "test % [95%]", "single %", "runs %", "calls", "tokens", "$", "exec. s"],
        )
        for algo in results.algos:
            designer = results.designer(algo)
            if designer.reference:
                scores = results.search_scores(algo)
                validation = np.mean([cell.result["search"]["validation"] for cell in results.of(algo)])
                single, runnable = "", ""
            elif algo in results.meta_agents:
                scores, validation = results.design_scores(algo), results.design_validation(algo)
                proposals = [proposal for _, proposal in results.single_proposals(algo)]
                single = _percent(float(np.mean([p["accuracy"] or 0.0 for p in proposals])))
                runnable = _percent(float(np.mean([p["status"] == "evaluated" for p in proposals])))
            else:
                continue
            usage = _usage(results.usage(algo)) if designer.trains else ["0", "0", "0", "0"]
            row = [
                results.label(algo),
                _percent(float(validation)),
                self._test(scores, algo),
                single,
                runnable,
                *usage,
            ]
            table.add(*row)
        table.notes.append(
            f"Mean over {config.seeds} seeds x {config.design_episodes} design episodes; each episode's workflow "
            "is selected by validation (val.) among its own designs and tested once. Single: mean validation accuracy "
            "of single proposals, 0 for one that does not run. Runs: share that runs, after repairs. Right: what "
            "training cost (executor calls, tokens, dollars, seconds of executor latency), mean over seeds."
        )
        saving = sum((Saving(**cell.result["racing"]) for cell in results.cells), Saving(0, 0, 0, 0))
        if saving.candidates:
            table.notes.append(f"While training, {saving.text()}.")
        return table

    def _search(self) -> Table:
        """Return the table of search results: the best workflow that the whole budget found."""
        results = self.results
        table = Table(
            f"Search: the best workflow of the whole budget{self.mark}",
            [
                "designer",
                "val. %",
                "again %",
                "test % [95%]",
                "tok./item",
                "calls",
                "tokens",
                "$",
                "exec. s",
                "calls/pt",
            ],
        )
        start = results.reference
        seed_test = float(np.nanmean(results.search_scores(start))) if start else None
        for algo in results.algos:
            cells = results.of(algo)
            found = [cell.result["search"] for cell in cells]
            scores = results.search_scores(algo)
            usage = results.usage(algo)
            gain = None
            if seed_test is not None and algo != start:
                gain = cost_per_point(usage["calls"], float(np.nanmean(scores)), seed_test)
            table.add(
                results.label(algo),
                _percent(float(np.mean([f["validation"] for f in found]))),
                _percent(float(np.mean([f["validation_fresh"] for f in found]))),
                self._test(scores, algo),
                f"{np.mean([f['tokens_per_item'] for f in found]):.0f}",
                *_usage(usage),
                "" if gain is None else f"{gain:,.0f}",
            )
        table.notes.append(
            "Selected by validation (val., seed workflows included), measured again on a fresh draw of the same items, "
            "then tested once. Tokens an item: what the workflow found spends. Calls per point: executor calls of the "
            "search per point of test accuracy above the best seed workflow; empty where there was no gain."
        )
        return table

    def _iqm(self) -> Table:
        """Return interquartile means over runs."""
        results = self.results
        table = Table(
            f"Test accuracy, interquartile mean over runs{self.mark}", ["designer", "design budget %", "search %"]
        )
        for algo in results.algos:
            stream = results.stream(algo)
            design = self.boot.iqm(results.design_scores(algo), stream).percent() if algo in results.meta_agents else ""
            table.add(results.label(algo), design, self.boot.iqm(results.search_scores(algo), stream).percent())
        return table

    def _improvement(self) -> Table | None:
        """Return paired differences and probabilities of improvement of the trained meta-agents."""
        results = self.results
        # Those that are compared with the most others stand first.
        first = sorted(results.meta_agents, key=lambda algo: -len(results.designer(algo).against))
        pairs = [(a, b) for a in first for b in results.designer(a).against if b in results.meta_agents]
        if not pairs:
            return None
        table = Table(
            f"Differences at the design budget, paired over items{self.mark}",
            ["comparison", "test difference, points [95%]", "probability of improvement [95%]"],
        )
        for a, b in pairs:
            x, y = results.design_scores(a), results.design_scores(b)
            streams = results.stream(a), results.stream(b)
            difference = self.boot.difference(x, streams[0], y, streams[1])
            better = self.boot.probability_of_improvement(x, streams[0], y, streams[1])
            table.add(
                f"{results.label(a)} v {results.label(b)}",
                f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]",
                f"{better.value:.2f} [{better.low:.2f}, {better.high:.2f}]",
            )
        table.notes.append("Probability that an episode of the first beats an episode of the second; ties count half.")
        return table

    def _optimism(self) -> Table | None:
        """Return what choosing by validation costs."""
        results = self.results
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
        flips = flip_rate(first, second)
        again = wilson(sum(b > a for a, b in zip(first, second, strict=True)), len(first))
        return Table(
            f"Selection optimism{self.mark}",
            ["figure", "value"],
            [
                ["validation of the workflow that validation selects %", _percent(found.selected_validation)],
                ["its test %", _percent(found.selected_test)],
                ["highest test of the same workflows (oracle) %", _percent(found.oracle_test)],
                ["optimism (validation - test), points", f"{100 * found.optimism:+.1f}"],
                ["Spearman of validation and test", "undefined" if found.spearman is None else f"{found.spearman:.2f}"],
                ["A/A flip rate of pairs", "undefined" if flips is None else f"{flips:.2f}"],
                ["a second measurement beats the first (A/A)", _interval(again)],
                ["workflows", str(found.workflows)],
            ],
            ["Over the distinct single proposals of all meta-agents and seeds, each measured on both splits."],
        )

    def _failures(self) -> Table | None:
        """Return how proposals and test runs end."""
        results = self.results
        if not results.meta_agents:
            return None
        table = Table(
            f"How single proposals end, %, and how test runs of the designs end, %{self.mark}",
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
                *(_percent(ends[kind] / len(proposals)) for kind in ("first", "repaired", "skipped")),
                ", ".join(f"{kind} {count}" for kind, count in why.most_common(3)),
                _percent(statuses["ok"] / total),
                ", ".join(f"{kind} {_percent(count / total)}" for kind, count in sorted(bad.items())),
            )
        return table

    def times(self) -> Table:
        """Return wall-clock times of this machine; they differ from run to run."""
        table = Table(
            "Seconds on this machine, mean over seeds",
            ["designer", "search and training", "of which learning", "evaluation", "all"],
        )
        for algo in self.results.algos:
            seconds = [cell.result["seconds"] for cell in self.results.of(algo)]
            means = [np.mean([s[key] for s in seconds]) for key in ("search", "learning", "evaluation", "all")]
            table.add(self.results.label(algo), *(f"{mean:.1f}" for mean in means))
        return table


def write_report(folder: RunFolder, config: CompareConfig) -> None:
    """Make tables, plots and the workflow file of a comparison from its journal; prints the tables."""
    from w4s_gym.study.view import write_view

    results = Results.of_run(folder)
    report = ComparisonReport(results)
    report.write(folder.path)
    plots = _plots(results, folder.path)
    workflow = write_best_workflow(results, folder.path / "best_workflow.py")
    view = write_view(results, report.tables, folder.path)
    report.show(console)
    for path in (folder.path / "table.md", *plots, workflow, view):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if config.track:
        from w4s_gym.study.track import track

        console.print(f"wandb run: {track(results, report.tables, folder.path, workflow)}")


def _plots(results: Results, folder: Path) -> list[Path]:
    """Write the plots; where nothing can draw them, say so, and the tables stand without them."""
    try:
        from w4s_gym.study.plots import write_plots
    except ModuleNotFoundError as error:
        lacking = missing_extra(error)
        if lacking is None:
            raise
        console.print(f"no plots: {lacking}", highlight=False, soft_wrap=True)
        return []
    return list(write_plots(results, folder))


def write_table(folder: RunFolder, table: Table) -> None:
    """Write the one table of a study and print it."""
    path = folder.path / "table.md"
    path.write_text(table.markdown(), encoding="utf-8")
    table.show(console)
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _usage(usage: dict[str, Any]) -> list[str]:
    dollars = "unknown" if usage["dollars"] is None else f"{usage['dollars']:.2f}"
    return [f"{usage['calls']:,.0f}", _short(usage["tokens"]), dollars, f"{usage['seconds']:,.0f}"]


def _short(number: float) -> str:
    """Write a large number in four characters or so."""
    if number >= 1e6:
        return f"{number / 1e6:.2f}M"
    return f"{number / 1e3:.0f}k" if number >= 1e4 else f"{number:.0f}"
