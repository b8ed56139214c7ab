r"""The published set-ups, one command each.

    python experiments/paper.py main              # accuracy by benchmark: W4S, AFlow, ADAS, untrained, best seed
    python experiments/paper.py humaneval-cost    # minutes and dollars of every designer on HumanEval
    python experiments/paper.py iterations        # accuracy against the turns spent
    python experiments/paper.py transfer          # trained on GSM-Plus and MGSM, used on GSM8K, GSM-Hard and SVAMP

Without options each runs end to end on the embedded defaults (simulated executor, tiny meta-agent, small sizes).
`--published` takes the sizes of the publications: W4S with 30 training iterations and 10 design turns of 5 candidates,
AFlow with 20 rounds, ADAS with 30 generations, the benchmarks' own split sizes. With a real executor and meta-agent:

    python experiments/paper.py main --published --executor openai:gpt-4o-mini \
        --policy hf:Qwen/Qwen2.5-Coder-7B-Instruct --max-dollars 200

The planned cost is printed first; `--plan` prints only that. `--max-dollars` is never passed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import tyro
from transfer import transfer_fronts, transfer_plot, transfer_table

from w4s_gym.command_line import parse
from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.study.cells import Cell, comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.designers import find_designer
from w4s_gym.study.formats import percent, percent_interval, plain
from w4s_gym.study.front import Front
from w4s_gym.study.plot_data import Panel, Plot, designer_dots
from w4s_gym.study.report import write_study
from w4s_gym.study.results import CellResult, Results
from w4s_gym.study.stats import HierarchicalBootstrap
from w4s_gym.study.table import Number, Table
from w4s_gym.study.transfer_cell import TransferCell

MAIN_BENCHMARKS = (
    "W4S-HumanEval-v0",
    "W4S-MBPP-v0",
    "W4S-GSM8K-v0",
    "W4S-MGSM-v0",
    "W4S-GSMHard-v0",
    "W4S-SVAMP-v0",
    "W4S-MATH-v0",
    "W4S-DROP-v0",
    "W4S-HotpotQA-v0",
    "W4S-MMLUPro-v0",
)
EMBEDDED = ("W4S-GSMSymbolic-v0", "W4S-HumanEval-v0")
"""Benchmarks that need no download."""
DESIGNERS = ("seed", "untrained", "rlao", "aflow", "adas")


@dataclass(frozen=True)
class PaperConfig(CompareConfig):
    """Run one of the published set-ups."""

    experiment: tyro.conf.Positional[Literal["main", "humaneval-cost", "iterations", "transfer"]] = "main"
    """Which table."""
    published: bool = False
    """Sizes of the publications, instead of small ones."""
    env: tyro.conf.Suppress[str] = ""
    envs: tuple[str, ...] = ()
    """Benchmarks; by default those of the publication, or the embedded ones without `--published`."""
    algos: tuple[str, ...] = DESIGNERS
    """Designers of the tables (`transfer`: its meta-agents only)."""
    seeds: int = 1
    """Number of seeds of every designer."""
    feedback_items: int | None = 0
    """Items that failures are shown from, beside those that pay; 0: failures are validation items, as published."""
    budget: int = 4_000
    """Executor calls of training or search; without limit with `--published`."""
    design_episodes: int = 2
    """Independent design episodes of every meta-agent and seed."""
    validation_size: int = 24
    """Validation items; the benchmark's own size with `--published`."""
    test_size: int = 60
    """Test items (at most); the benchmark's own size with `--published`."""

    def comparison(self) -> CompareConfig:
        """Return the configuration of the cells, with the sizes of the chosen scale."""
        if not self.published:
            turns = 6 if self.experiment == "iterations" else self.design_turns
            return self.plain(design_turns=turns, curve_turns=turns)
        return self.plain(
            budget=10**9,
            iterations=30,
            design_turns=10,
            design_candidates=5,
            curve_turns=10,
            design_episodes=1,
            algo_options={"adas": {"generations": 30}, "aflow": {"rounds": 20}, **self.algo_options},
            env_options={"validation_size": None, "test_size": None, **self.env_options},
        )

    def benchmarks(self) -> tuple[str, ...]:
        """Environment ids of the experiment."""
        if self.envs:
            return self.envs
        if self.experiment == "humaneval-cost":
            return ("W4S-HumanEval-v0",)
        if self.experiment == "iterations":
            return ("W4S-GSMHard-v0",) if self.published else EMBEDDED[:1]
        return MAIN_BENCHMARKS if self.published else EMBEDDED

    def transfer_targets(self) -> tuple[str, ...]:
        """Environment ids that the experiment `transfer` designs for."""
        return self.envs or TARGETS[self.published]


TRAINED_ON = {True: ("W4S-GSMPlus-v0", "W4S-MGSM-v0"), False: ("W4S-GSMSymbolic-v0",)}
TARGETS = {True: ("W4S-GSM8K-v0", "W4S-GSMHard-v0", "W4S-SVAMP-v0"), False: ("W4S-ChainSum-v0", "W4S-HumanEval-v0")}
"""Benchmarks of the transfer table; without `--published` those that need no data."""


def paper_cells(config: PaperConfig) -> Sequence[Cell]:
    """All cells of the experiment; the dollars are shared out evenly among the benchmarks."""
    plain = config.comparison()
    if config.experiment == "transfer":
        meta_agents = tuple(algo for algo in config.algos if find_designer(algo).meta_agent)
        if not meta_agents:
            raise ConfigError("transfer: expected meta-agents among --algos: untrained, sft, rlao, grpo")
        cell = replace(plain, algos=meta_agents, curve_turns=0)
        on, targets = TRAINED_ON[config.published], config.transfer_targets()
        return [
            TransferCell(cell, algo, seed, trained_on=on, targets=targets)
            for seed in config.seed_numbers
            for algo in meta_agents
        ]
    names = config.benchmarks()
    share = replace(plain, max_dollars=config.max_dollars / len(names))
    return [cell for name in names for cell in comparison_cells(replace(share, env=name), name)]


def write_report(folder: RunFolder, given: CompareConfig) -> None:
    """Make the experiment's table from the journal and print it."""
    config = PaperConfig.of_run(folder.config)
    makers = {
        "main": (main_table, main_plot),
        "humaneval-cost": (cost_table, cost_plot),
        "iterations": (iteration_table, iteration_plot),
    }
    if config.experiment == "transfer":
        table = transfer_table(folder, TRAINED_ON[config.published], config.transfer_targets())
        write_study(folder, table, transfer_fronts(folder, config.transfer_targets()), [transfer_plot(folder, table)])
        return
    make_table, make_plot = makers[config.experiment]
    results = _results(folder, config)
    table = make_table(config, results)
    fronts = [Front.of_results(result) for result in results.values()]
    write_study(folder, table, fronts, [make_plot(config, table, folder.simulated)])


def _results(folder: RunFolder, config: PaperConfig) -> dict[str, Results]:
    """Results by benchmark, of the benchmarks that have some."""
    found = {r["variant"] for r in folder.records("cell")}
    return {
        name: Results.of_run(folder, name, replace(config.comparison(), env=name))
        for name in config.benchmarks()
        if name in found
    }


def _scores(results: Results, algo: str) -> np.ndarray:
    """Test scores of what a designer delivers: its designs if it is a meta-agent, else the result of its search."""
    return results.design_scores(algo) if algo in results.meta_agents else results.search_scores(algo)


def _mark(results: dict[str, Results]) -> str:
    return " (simulated)" if any(r.simulated for r in results.values()) else ""


def main_table(config: PaperConfig, results: dict[str, Results]) -> Table:
    """Return test accuracy by designer and benchmark."""
    plain = config.comparison()
    table = Table(
        f"Main table, test % [95%], executor {config.executor_name}{_mark(results)}",
        ["designer", *(name.removeprefix("W4S-").removesuffix("-v0") for name in results)],
    )
    for algo in config.algos:
        row: list[Number | str] = []
        for result in results.values():
            if algo not in result.algos:
                row.append("")
                continue
            boot = HierarchicalBootstrap(result.items)
            row.append(percent_interval(boot.mean(_scores(result, algo), result.stream(algo))))
        designer = find_designer(algo)
        table.add(designer.published_label or designer.label, *row)
    table.notes.append(
        f"W4S and untrained: {plain.design_turns} design turns, {plain.design_candidates} candidate(s) a turn; "
        f"AFlow and ADAS: searches within {'20 rounds and 30 generations' if config.published else 'the budget'}; "
        f"selected by validation, tested once. {config.told_seeds}."
    )
    return table


def main_plot(config: PaperConfig, table: Table, simulated: bool) -> Plot:
    """Return test accuracy by designer and benchmark."""
    lines = designer_dots(table, config.algos)
    return Plot(
        "main", table.title, [Panel("", _axis("Test accuracy, %", simulated), lines, categories=table.columns[1:])]
    )


def _axis(text: str, simulated: bool) -> str:
    return f"{text} (simulated)" if simulated else text


def cost_table(config: PaperConfig, results: dict[str, Results]) -> Table:
    """Return minutes and dollars of the meta-agent, of optimisation and of the test run, for every designer."""
    (name, result), *_ = results.items()
    table = Table(
        f"Cost on {name}, executor {config.executor_name}, meta-agent {config.policy}{_mark(results)}",
        ["designer", "test %", "learning min", "optimisation min", "optimisation $", "test run min", "test run $"],
    )
    for algo in result.algos:
        cells = result.of(algo)
        usage = result.usage(algo)
        tests = [cell.result["workflows"][_delivered(result, cell)]["usage"] for cell in cells]
        test_dollars = [t["dollars"] for t in tests]
        price = None if None in test_dollars else float(np.mean(test_dollars))
        table.add(
            result.label(algo),
            percent(float(np.nanmean(_scores(result, algo)))),
            plain(float(np.mean([cell.result["seconds"]["learning"] for cell in cells])) / 60, ".1f"),
            plain((usage["seconds"] or 0.0) / 60, ".1f"),
            plain(usage["dollars"], ".3f", "unknown"),
            plain(float(np.mean([t["seconds"] for t in tests])) / 60, ".1f"),
            plain(price, ".3f", "unknown"),
        )
    table.notes.append(
        "Learning: wall clock of weight updates on this machine. Optimisation and test run: latency summed over "
        "executor calls (divide by the calls in flight for the wall clock) and their price. The local meta-agent "
        "itself costs no dollars; an `openai:` one is billed by its provider and not included."
    )
    return table


def cost_plot(config: PaperConfig, table: Table, simulated: bool) -> Plot:
    """Return test accuracy against the price of optimisation."""
    lines = []
    for line, cells in zip(designer_dots(table, config.algos), table.cells, strict=True):
        price = cells[4]
        if isinstance(price, Number) and price.value is not None:
            lines.append(replace(line, x=[price.value], y=line.y[:1], low=None, high=None))
    axes = _axis("Optimisation, $", simulated), _axis("Test accuracy, %", simulated)
    return Plot("cost", table.title, [Panel(*axes, lines)])


def _delivered(result: Results, cell: CellResult) -> str:
    """Digest of the workflow that a cell delivers; for several episodes that of the first."""
    if "design" not in cell.result:
        return cell.result["search"]["workflow"]
    return cell.result["design"]["episodes"][0]["selected"][str(result.config.design_turns)]["workflow"]


def iteration_table(config: PaperConfig, results: dict[str, Results]) -> Table:
    """Return accuracy against the turns, rounds or generations spent."""
    (name, result), *_ = results.items()
    turns = list(range(1, config.comparison().design_turns + 1))
    table = Table(
        f"Accuracy against turns spent on {name}, executor {config.executor_name}{_mark(results)}",
        ["designer", "figure", *(str(turn) for turn in turns)],
    )
    for algo in result.algos:
        if algo in result.meta_agents:
            values = [percent(float(np.nanmean(result.design_scores(algo, turn)))) for turn in turns]
            table.add(result.label(algo), "test", *values)
        elif not result.designer(algo).reference:
            curves = [[point["best"] for point in cell.result["curve"]] for cell in result.of(algo)]
            best = [[curve[min(turn, len(curve)) - 1] for curve in curves] for turn in turns]
            table.add(result.label(algo), "validation", *(percent(float(np.mean(found))) for found in best))
    table.notes.append(
        f"Meta-agents: test accuracy of the design that validation selects after so many turns of "
        f"{config.comparison().design_candidates} candidate(s). Searches: best validation accuracy after so many "
        "rounds or generations; only their final result is tested."
    )
    return table


def iteration_plot(config: PaperConfig, table: Table, simulated: bool) -> Plot:
    """Return accuracy over turns: test accuracy of meta-agents, best validation accuracy of searches."""
    panels = []
    for figure, label in (("test", "Test accuracy, %"), ("validation", "Best validation accuracy, %")):
        rows = [row for row in table.cells if row[1] == figure]
        part = Table(table.title, ["designer", *table.columns[2:]])
        for row in rows:
            part.add(row[0], *row[2:])
        lines = designer_dots(part, config.algos)
        x = [float(column) for column in table.columns[2:]]
        lines = [replace(line, x=x[: len(line.y)], connected=True) for line in lines]
        panels.append(Panel("Turns, rounds or generations", _axis(label, simulated), lines, whole=True))
    return Plot("iterations", table.title, [panel for panel in panels if panel.lines])


if __name__ == "__main__":
    given = parse(PaperConfig, __doc__)
    sys.exit(Study(f"paper-{given.experiment}", paper_cells, write_report, announce=True).run(given))
