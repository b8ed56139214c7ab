"""The report of a comparison, made from the journal alone: tables, plots, the best workflow and the page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console

from w4s_gym.command_line import missing_extra
from w4s_gym.journal import RunFolder
from w4s_gym.study.best_workflow import write_best_workflow
from w4s_gym.study.board import console
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.design_tables import design_table, ends_table
from w4s_gym.study.front import Front
from w4s_gym.study.inference_tables import improvement_table, iqm_table, optimism_table
from w4s_gym.study.learning import learning_table
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
            ends_table(results),
        ]
        self.tables = [table for table in tables if table is not None]
        self.times = times_table(results)
        self.learning = learning_table(results)

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
        _write_figures(folder, self.tables)

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


def write_report(folder: RunFolder, config: CompareConfig) -> None:
    """Make tables, plots and the workflow file of a comparison from its journal; prints the tables."""
    from w4s_gym.study.view import write_view

    results = Results.of_run(folder)
    report = ComparisonReport(results)
    report.write(folder.path)
    plots = _drawn(lambda plots: plots.write_plots(results, folder.path))
    workflow = write_best_workflow(results, folder.path / "best_workflow.py")
    shown = [*report.tables, *([report.learning] if report.learning is not None else [])]
    view = write_view(results, shown, folder.path)
    report.show(console)
    for path in (folder.path / "table.md", *plots, workflow, view):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if config.track:
        from w4s_gym.study.track import track

        console.print(f"wandb run: {track(results, report.tables, folder.path, workflow)}")


def _drawn(draw: Callable[[ModuleType], list[Path]]) -> list[Path]:
    """Draw with the module of the plots; where nothing can draw, say so, and the tables stand without plots."""
    try:
        from w4s_gym.study import plots
    except ModuleNotFoundError as error:
        lacking = missing_extra(error)
        if lacking is None:
            raise
        console.print(f"no plots: {lacking}", highlight=False, soft_wrap=True)
        return []
    return draw(plots)


def write_tables(folder: RunFolder, table: Table, fronts: Sequence[Front]) -> None:
    """Write the table of a study, and the Pareto fronts of its benchmarks, and print them."""
    path = folder.path / "table.md"
    tables = [table, *(front.table() for front in fronts)]
    path.write_text("\n".join(table.markdown() for table in tables), encoding="utf-8")
    _write_figures(folder.path, tables)
    for shown in tables:
        shown.show(console)
    for written in (path, *_drawn(lambda plots: [plots.write_fronts(fronts, folder.path)])):
        console.print(f"wrote {written}", highlight=False, soft_wrap=True)


def _write_figures(folder: Path, tables: Sequence[Table]) -> None:
    figures = json.dumps([table.data() for table in tables], indent=1, ensure_ascii=False)
    (folder / "figures.json").write_text(figures + "\n", encoding="utf-8")
