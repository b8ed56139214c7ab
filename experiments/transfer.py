"""Does what a meta-agent learned on some benchmarks help on others it has never seen?

    W4S_DATA_DIR=... python experiments/transfer.py                 # the published set-up, small
    python experiments/transfer.py --train W4S-GSMSymbolic-v0 --targets W4S-ChainSum-v0    # no data needed

The published set-up (W4S, arXiv 2504.04785): train on GSM-Plus and MGSM, evaluate on GSM8K, GSM-Hard and SVAMP, with
GPT-3.5-Turbo as the executor. Here the iterations of one run take turns on the training benchmarks. `--budget` is for
all training benchmarks together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tyro

from w4s_gym.command_line import parse
from w4s_gym.journal import RunFolder
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.formats import percent, percent_interval, points
from w4s_gym.study.front import Front
from w4s_gym.study.plot_data import Panel, Plot, designer_dots
from w4s_gym.study.report import write_study
from w4s_gym.study.results import CellResult, Results
from w4s_gym.study.stats import HierarchicalBootstrap
from w4s_gym.study.table import Number, Table
from w4s_gym.study.transfer_cell import TransferCell


@dataclass(frozen=True)
class TransferConfig(CompareConfig):
    """Train meta-agents on some benchmarks and let them design for unseen ones."""

    env: tyro.conf.Suppress[str] = ""
    train: tuple[str, ...] = ("W4S-GSMPlus-v0", "W4S-MGSM-v0")
    """Environments to train on."""
    targets: tuple[str, ...] = ("W4S-GSM8K-v0", "W4S-GSMHard-v0", "W4S-SVAMP-v0")
    """Unseen environments to design for."""
    algos: tuple[str, ...] = ("untrained", "sft", "rlao")
    """Meta-agents: untrained, sft, rlao, grpo."""
    curve_turns: tyro.conf.Suppress[int] = 0


def transfer_cells(config: TransferConfig) -> list[TransferCell]:
    """All cells."""
    return [
        TransferCell(config, algo, seed, trained_on=config.train, targets=config.targets)
        for seed in config.seed_numbers
        for algo in config.algos
    ]


def results_on(folder: RunFolder, target: str) -> Results:
    """Arrange the cells' results on one unseen benchmark like those of a comparison."""
    cells = [
        CellResult(r["algo"], r["seed"], {**r["result"]["targets"][target], "training": r["result"]["training"]})
        for r in folder.records("cell")
    ]
    config = CompareConfig.of_run({**folder.config, "env": target})
    return Results(config, folder.facts, cells, folder.records("failure"))


def write_report(folder: RunFolder, config: CompareConfig) -> None:
    """Make the transfer table from the journal and print it."""
    stored = TransferConfig.of_run(folder.config)
    table = transfer_table(folder, stored.train, stored.targets)
    write_study(folder, table, transfer_fronts(folder, stored.targets), [transfer_plot(folder, table)])


def transfer_fronts(folder: RunFolder, targets: Sequence[str]) -> list[Front]:
    """Return the workflows that were designed for each unseen benchmark."""
    return [Front.of_results(results_on(folder, target)) for target in targets]


def transfer_table(folder: RunFolder, trained_on: Sequence[str], targets: Sequence[str]) -> Table:
    """Return test accuracy on the unseen benchmarks, and the gain over the untrained meta-agent."""
    stored = CompareConfig.of_run(folder.config)
    mark = " (simulated)" if folder.simulated else ""
    short = {name: name.removeprefix("W4S-").removesuffix("-v0") for name in (*trained_on, *targets)}
    table = Table(
        f"Transfer from {' + '.join(short[name] for name in trained_on)} to unseen benchmarks, test % [95%], "
        f"executor {stored.executor_name}{mark}",
        ["designer", *(short[name] for name in targets)],
    )
    results = [results_on(folder, target) for target in targets]
    boots = [HierarchicalBootstrap(r.items) for r in results]
    starts = [np.mean([cell.test(cell.result["design"]["start"]["workflow"]) for cell in r.cells]) for r in results]
    table.add("best seed", *(percent(float(start)) for start in starts))
    for algo in results[0].algos:
        cells: list[Number] = []
        for r, boot in zip(results, boots, strict=True):
            scores = r.design_scores(algo)
            cell = percent_interval(boot.mean(scores, r.stream(algo)))
            if r.baseline and algo != r.baseline:
                gain = boot.difference(scores, r.stream(algo), r.design_scores(r.baseline), r.stream(r.baseline))
                cell = replace(cell, text=f"{cell.text}; gain {points(gain).text}")
            cells.append(cell)
        table.add(results[0].label(algo), *cells)
    table.notes.append(
        f"{stored.told_seeds}; {stored.budget:,} executor calls of training in all; design budget of "
        f"{stored.design_turns} turns, {stored.design_candidates} candidate(s) a turn, on each unseen benchmark. "
        "Gain: over the untrained meta-agent at the same design budget, paired over items."
    )
    return table


def transfer_plot(folder: RunFolder, table: Table) -> Plot:
    """Return the test accuracy of every designer on every unseen benchmark."""
    lines = designer_dots(table, ("seed", *CompareConfig.of_run(folder.config).algos))
    mark = " (simulated)" if folder.simulated else ""
    return Plot("transfer", table.title, [Panel("", f"Test accuracy, %{mark}", lines, categories=table.columns[1:])])


TRANSFER = Study("transfer", transfer_cells, write_report, announce=True)

if __name__ == "__main__":
    sys.exit(TRANSFER.run(parse(TransferConfig, __doc__)))
