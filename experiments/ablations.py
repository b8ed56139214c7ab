"""What each part of RLAO is worth: one setting changed at a time, everything else as in the comparison.

python experiments/ablations.py                          # all, on embedded defaults
python experiments/ablations.py --only tau=0.1 m=1       # some of them
python experiments/ablations.py --track                  # one run of wandb for each setting and seed
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

from w4s_gym.command_line import parse
from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.options import near
from w4s_gym.study.cells import Cell, comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.formats import percent, percent_interval, plain, points
from w4s_gym.study.front import Front
from w4s_gym.study.looks import Look
from w4s_gym.study.plot_data import Panel, Plot, dots
from w4s_gym.study.report import write_study
from w4s_gym.study.results import Results
from w4s_gym.study.stats import HierarchicalBootstrap
from w4s_gym.study.table import Number, Table

DEFAULT = "default"
ABLATIONS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "tau=0.1": {"algo_options": {"rlao": {"tau": 0.1}}},
    "tau=0.4": {"algo_options": {"rlao": {"tau": 0.4}}},
    "tau=1": {"algo_options": {"rlao": {"tau": 1.0}}},
    "8 passes": {"algo_options": {"rlao": {"epochs": 8}}},
    "all rows in every pass": {"algo_options": {"rlao": {"thin": False}}},
    "m=1": {"candidates": 1},
    "m=10": {"candidates": 10},
    "temperature=0.5": {"policy_options": {"temperature": 0.5}},
    "temperature=0.7": {"policy_options": {"temperature": 0.7}},
    "temperature=1": {"policy_options": {"temperature": 1.0}},
    "horizon=1": {"turns": 1},
    "horizon=4": {"turns": 4},
    "relative reward": {"env_options": {"reward": {"kind": "relative"}}},
    "gain as reward": {"env_options": {"reward": {"kind": "gain"}}},
    "reward floor 0.3": {"env_options": {"reward": {"floor": 0.3}}},
    "no repairs": {"env_options": {"max_repairs": 0}},
    "1 repair": {"env_options": {"max_repairs": 1}},
    "2 repairs": {"env_options": {"max_repairs": 2}},
    "no self-test": {"env_options": {"self_test": False}},
    "no failure cases": {"env_options": {"feedback_cases": 0}},
    "SFT, equal compute": {"algos": ("sft",)},
}
"""Setting -> what it changes. The compact prompts of the tiny meta-agent show no failure cases in any setting."""


@dataclass(frozen=True)
class AblationConfig(CompareConfig):
    """Train RLAO under one changed setting at a time."""

    algos: tuple[str, ...] = ("rlao",)
    """The designer that is ablated."""
    only: tuple[str, ...] = ()
    """Names of the settings to run; all by default."""
    curve_turns: int = 0
    """Longest design budget of the curve over turns (0: no curve)."""


def variant_config(config: AblationConfig, name: str) -> CompareConfig:
    """Return the configuration of one setting.

    Raises:
        ConfigError: there is no such setting.
    """
    if name not in ABLATIONS:
        raise ConfigError(f"expected settings among {', '.join(ABLATIONS)}; got {name!r}{near(name, ABLATIONS)}")
    changes = dict(ABLATIONS[name])
    for key in ("policy_options", "env_options", "algo_options"):
        if key in changes:
            changes[key] = _merged(getattr(config, key), changes[key])
    return config.plain(**changes)


def _merged(options: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return the options with the changes; what a change does not name stays, in dicts inside too."""
    nested = {k: _merged(options[k], v) for k, v in changes.items() if isinstance(v, dict) and k in options}
    return {**options, **changes, **nested}


def names(config: AblationConfig) -> list[str]:
    """Names of the settings that run; the default always does, for the differences."""
    return [name for name in ABLATIONS if not config.only or name in (DEFAULT, *config.only)]


def ablation_cells(config: AblationConfig) -> list[Cell]:
    """All cells; the dollars of the whole study are shared out evenly."""
    for name in config.only:
        variant_config(config, name)  # raises for an unknown one
    cells = []
    for name in names(config):
        share = replace(variant_config(config, name), max_dollars=config.max_dollars / len(names(config)))
        cells += comparison_cells(share, name)
    return sorted(cells, key=lambda cell: cell.seed)


def write_report(folder: RunFolder, config: CompareConfig) -> None:
    """Make the table of all settings from the journal and print it."""
    table = ablation_table(folder)
    write_study(folder, table, [ablation_front(folder)], [ablation_plot(table)])


def _results(folder: RunFolder) -> dict[str, Results]:
    """Results by setting, of the settings that have some."""
    stored = AblationConfig.of_run(folder.config)
    finished = {r["variant"] for r in folder.records("cell")}
    return {
        name: Results.of_run(folder, name, variant_config(stored, name)) for name in names(stored) if name in finished
    }


def ablation_front(folder: RunFolder) -> Front:
    """Return the workflows of all settings."""
    results = _results(folder)
    first = next(iter(results.values()))
    groups = {name: result.cells for name, result in results.items()}
    return Front.of(first.config.env, groups, first.items, folder.simulated)


def ablation_table(folder: RunFolder) -> Table:
    """Return test accuracy at the design budget for every setting, and its difference from the default."""
    stored = AblationConfig.of_run(folder.config)
    mark = " (simulated)" if folder.simulated else ""
    table = Table(
        f"Ablations of {stored.algos[0]} on {stored.env}, executor {stored.executor_name}{mark}",
        ["setting", "test % [95%]", "difference, points [95%]", "single %", "runs %", "training calls"],
    )
    results = _results(folder)
    for name, result in results.items():
        algo = result.algos[0]
        boot = HierarchicalBootstrap(result.items)
        scores, stream = result.design_scores(algo), list(ABLATIONS).index(name)
        proposals = [proposal for _, proposal in result.single_proposals(algo)]
        difference: Number | str = ""
        if name != DEFAULT and DEFAULT in results:
            base = results[DEFAULT]
            gap = boot.difference(scores, stream, base.design_scores(base.algos[0]), 0)
            difference = points(gap)
        table.add(
            name,
            percent_interval(boot.mean(scores, stream)),
            difference,
            percent(sum(p["accuracy"] or 0.0 for p in proposals) / len(proposals)),
            percent(sum(p["status"] == "evaluated" for p in proposals) / len(proposals)),
            plain(result.usage(algo)["calls"]),
        )
    table.notes.append(
        f"{stored.told_seeds}, {stored.budget:,} executor calls of training each; default: m = {stored.candidates}, "
        f"horizon {stored.turns}, the meta-agent's own tau, passes and temperature, and unless the command says "
        "otherwise tiers, 3 repairs, self-test. Difference: from the default, paired over items."
    )
    return table


def ablation_plot(table: Table) -> Plot:
    """Return the test accuracies of all settings, the default's as a line across."""
    found = [row[1] for row in table.cells]
    names = [row[0] for row in table.rows]
    default = dict(zip(names, found, strict=True)).get(DEFAULT)
    level = default.value if isinstance(default, Number) else None
    line = dots("95% interval", Look("#0072b2", "circle", ""), list(map(float, range(len(names)))), found)
    panel = Panel("", table.columns[1], [line], categories=names, level=level, level_label=DEFAULT, upright=True)
    return Plot("ablations", table.title, [panel])


ABLATIONS_STUDY = Study("ablations", ablation_cells, write_report, announce=True)

if __name__ == "__main__":
    sys.exit(ABLATIONS_STUDY.run(parse(AblationConfig, __doc__)))
