"""The report of a comparison, made from the journal alone: tables, plots, the best workflow and the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from w4s_gym.journal import RunFolder
from w4s_gym.study.best_workflow import write_best_workflow
from w4s_gym.study.board import console
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.design_tables import design_table, ends_table, written_table
from w4s_gym.study.figures_file import Figures
from w4s_gym.study.front import Front
from w4s_gym.study.inference_tables import improvement_table, iqm_table, memorising_table, optimism_table
from w4s_gym.study.learning import learning_table
from w4s_gym.study.plot_data import Plot
from w4s_gym.study.plots import comparison_plots, front_plot
from w4s_gym.study.results import Results
from w4s_gym.study.search_tables import search_table, times_table
from w4s_gym.study.stats import HierarchicalBootstrap
from w4s_gym.study.table import Table


class ComparisonReport:
    """All tables of a comparison."""

    def __init__(self, results: Results) -> None:
        """Compute the figures."""
        self.results = results
        boot = HierarchicalBootstrap(results.items)
        tables = [
            design_table(results, boot),
            search_table(results, boot),
            Front.of_results(results).table(),
            iqm_table(results, boot),
            improvement_table(results, boot),
            optimism_table(results),
            memorising_table(results),
            ends_table(results),
            written_table(results),
        ]
        self.tables = [table for table in tables if table is not None]
        self.times = times_table(results)
        self.learning = learning_table(results)

    @property
    def all_tables(self) -> list[Table]:
        """The tables, and that of the proposals by iteration, which is too long for `table.md`."""
        return [*self.tables, *([self.learning] if self.learning is not None else [])]

    @property
    def figures(self) -> Figures:
        """All tables and plots."""
        return Figures(self.results.simulated, self.all_tables, comparison_plots(self.results))

    def markdown(self) -> str:
        """Write all tables but the wall-clock times: the same run gives the same text."""
        config = self.results.config
        head = (
            f"# Comparison on {config.env}, executor {config.executor_name}{self.results.mark}, "
            f"meta-agent {config.policy}\n\n{self._conditions()}\n"
        )
        return "\n".join([head, *(table.markdown() for table in self.tables)])

    def show(self, console: Console) -> None:
        """Print all tables."""
        console.print()
        for table in [*self.tables, self.times]:
            table.show(console)
        console.print(self._conditions(), style="dim", markup=False)
        for failure in self.results.failures:
            console.print(f"{failure['algo']}/{failure['seed']} failed: {failure['error']}", style="red")

    def write(self, folder: Path) -> None:
        """Write `table.md`, `times.md`, `figures.json` and, if there were proposals, `learning.md`."""
        (folder / "table.md").write_text(self.markdown(), encoding="utf-8")
        (folder / "times.md").write_text(self.times.markdown(), encoding="utf-8")
        if self.learning is not None:
            (folder / "learning.md").write_text(self.learning.markdown(), encoding="utf-8")
        self.figures.write(folder)

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
            f"{config.told_seeds}{unfinished}; budget of {config.budget:,} executor calls for training or "
            f"search{cap}; {config.validation_size} validation and {self.results.items} test items, the same for "
            "all. Intervals: 95%, bootstrap over seeds, episodes and items."
        )
        if self.results.simulated:
            text += " All scores, calls, tokens, dollars and latencies are simulated."
        for title, options in (("environment", config.env_options), ("algorithms", config.algo_options)):
            if options:
                text += f" Options of the {title}: `{json.dumps(options)}`."
        return text


def write_report(folder: RunFolder, config: CompareConfig) -> None:
    """Make tables, plots and the workflow file of a comparison from its journal; prints the tables."""
    from w4s_gym.study.view import write_view

    results = Results.of_run(folder)
    report = ComparisonReport(results)
    report.write(folder.path)
    plots = report.figures.draw(folder.path)
    workflow = write_best_workflow(results, folder.path / "best_workflow.py")
    view = write_view(results, report.all_tables, folder.path)
    report.show(console)
    _say_written(folder.path / "table.md", *plots, workflow, view)


def write_study(folder: RunFolder, table: Table, fronts: Sequence[Front], plots: Sequence[Plot]) -> None:
    """Write the table of a study and the Pareto fronts of its benchmarks, their plots and numbers; print the tables."""
    path = folder.path / "table.md"
    tables = [table, *(front.table() for front in fronts)]
    path.write_text("\n".join(shown.markdown() for shown in tables), encoding="utf-8")
    figures = Figures(folder.simulated, tables, [*plots, front_plot(fronts)])
    figures.write(folder.path)
    drawn = figures.draw(folder.path)
    for shown in tables:
        shown.show(console)
    _say_written(path, *drawn)


def _say_written(*paths: Path) -> None:
    for path in paths:
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
