"""Which learner? Every trained meta-agent on several benchmarks, rewards and starts, against the same others.

    python experiments/learners.py                                  # all set-ups; goes on with --resume
    python experiments/learners.py --only "MGSM, tiers, CoT" --seeds 2 --run-dir runs/look
    python experiments/learners.py --report runs/<folder>

docs/results/learners-plan.md says what is compared and what would count as shown; it was written before the run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import tyro

from w4s_gym.command_line import parse
from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder
from w4s_gym.options import near
from w4s_gym.study.cells import Cell, comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.formats import interval, percent_interval, plain, points
from w4s_gym.study.front import Front
from w4s_gym.study.report import write_study
from w4s_gym.study.results import Results
from w4s_gym.study.stats import Estimate, HierarchicalBootstrap, mean_of
from w4s_gym.study.table import Table
from w4s_gym.study.training import updates

LEADS = "group_rlao"
"""The learner that the others are compared with."""
BENCHMARKS = ("MGSM", "GSMHard", "HumanEval", "GSMSymbolic")
REWARDS = ("tiers", "relative")
STARTS: dict[str, list[str] | None] = {"all": None, "CoT": ["CoT"]}
"""Name -> seed workflows that episodes start from; None: all of the benchmark."""
SETUPS = {f"{name}, {kind}, {start}": (name, kind, start) for name, kind, start in product(BENCHMARKS, REWARDS, STARTS)}


@dataclass(frozen=True)
class LearnersConfig(CompareConfig):
    """Compare learners on every set-up."""

    env: tyro.conf.Suppress[str] = ""
    only: tuple[str, ...] = ()
    """Names of the set-ups to run, for instance "MGSM, tiers, all"; all by default."""
    algos: tuple[str, ...] = ("untrained", "sft", "rlao", "grpo", LEADS)
    """Designers."""
    seeds: int = 15
    """Number of seeds of every designer."""
    first_seed: int = 200
    """The first of them; settings were chosen on 100 to 115."""
    budget: int = 8_000
    """Executor calls that every designer may spend on training: three updates or more everywhere."""
    curve_turns: int = 0
    """Longest design budget of the curve over turns (0: no curve)."""


def setup_config(config: LearnersConfig, name: str) -> CompareConfig:
    """Return the comparison of one set-up.

    Raises:
        ConfigError: there is no such set-up.
    """
    if name not in SETUPS:
        raise ConfigError(f"expected set-ups among {'; '.join(SETUPS)}; got {name!r}{near(name, SETUPS)}")
    benchmark, kind, start = SETUPS[name]
    options: dict[str, Any] = {**config.env_options, "reward": {"kind": kind}}
    if STARTS[start] is not None:
        options["seed_workflows"] = STARTS[start]
    return config.plain(env=f"W4S-{benchmark}-v0", env_options=options)


def names(config: LearnersConfig) -> tuple[str, ...]:
    """Names of the set-ups that run."""
    return config.only or tuple(SETUPS)


def learner_cells(config: LearnersConfig) -> list[Cell]:
    """All cells, seed by seed; the dollars are shared out evenly among the set-ups."""
    share = config.max_dollars / len(names(config))
    cells = [
        cell
        for name in names(config)
        for cell in comparison_cells(replace(setup_config(config, name), max_dollars=share), name)
    ]
    return sorted(cells, key=lambda cell: cell.seed)


def write_report(folder: RunFolder, config: CompareConfig) -> None:
    """Make the table of all set-ups from the journal and print it."""
    results = _results(folder)
    write_study(folder, learner_table(folder, results), _fronts(results), [])


def _results(folder: RunFolder) -> dict[str, Results]:
    """Results by set-up, of those that have some."""
    stored = LearnersConfig.of_run(folder.config)
    finished = {r["variant"] for r in folder.records("cell")}
    return {
        name: Results.of_run(folder, name, setup_config(stored, name)) for name in names(stored) if name in finished
    }


def _fronts(results: dict[str, Results]) -> list[Front]:
    """The workflows of each benchmark, over its set-ups."""
    found: dict[str, list[Results]] = {}
    for result in results.values():
        found.setdefault(result.config.env, []).append(result)
    return [
        Front.of(
            env,
            {first.label(algo): [cell for part in parts for cell in part.of(algo)] for algo in first.algos},
            first.items,
            first.simulated,
        )
        for env, parts in found.items()
        for first in parts[:1]
    ]


def learner_table(folder: RunFolder, results: dict[str, Results]) -> Table:
    """Return what every designer reaches in every set-up, and by how much the leading learner is ahead of it."""
    stored = LearnersConfig.of_run(folder.config)
    mark = " (simulated)" if folder.simulated else ""
    table = Table(
        f"Learners, executor {stored.executor_name}{mark}, meta-agent {stored.policy}",
        ["set-up", "designer", "seeds", "test % [95%]", "lead, points [95%]", "P(better) [95%]", "search % [95%]",
         "lead in search [95%]", "updates", "steps"],
    )  # fmt: skip
    for name, result in results.items():
        boot = HierarchicalBootstrap(result.items)
        for algo in result.meta_agents:
            stream, cells = result.stream(algo), result.of(algo)
            design, search = result.design_scores(algo), result.search_scores(algo)
            ahead: Sequence[Any] = ("", "", "")
            if algo != LEADS and LEADS in result.algos:
                leads = result.stream(LEADS)
                theirs = result.design_scores(LEADS), result.search_scores(LEADS)
                ahead = (
                    points(boot.difference(theirs[0], leads, design, stream)),
                    interval(boot.probability_of_improvement(theirs[0], leads, design, stream)),
                    points(boot.difference(theirs[1], leads, search, stream)),
                )
            curves = [cell.result["curve"] for cell in cells]
            learns = result.designer(algo).trains
            changed = float(np.mean([updates(curve) or 0 for curve in curves])) if learns else None
            steps = [sum(point.get("steps", 0.0) for point in curve) for curve in curves]
            table.add(
                name,
                result.label(algo),
                str(len(cells)),
                percent_interval(boot.mean(design, stream)),
                *ahead[:2],
                percent_interval(boot.mean(search, stream)),
                ahead[2],
                plain(changed, ".1f"),
                plain(float(np.mean(steps)) if learns and any(steps) else None),
            )
    for kind, start in product(REWARDS, STARTS):
        parts = [result for name, result in results.items() if SETUPS[name][1:] == (kind, start)]
        for algo in parts[0].meta_agents if len(parts) > 1 else ():
            if algo == LEADS or not all({algo, LEADS} <= set(part.meta_agents) for part in parts):
                continue
            table.add(
                f"mean of {len(parts)} benchmarks, {kind}, {start}", parts[0].label(algo), "", "",
                points(mean_lead(parts, algo, Results.design_scores)), "", "",
                points(mean_lead(parts, algo, Results.search_scores)), "", "",
            )  # fmt: skip
    table.notes.append(
        f"{stored.told_seeds}, {stored.budget:,} executor calls of training each. Set-up: benchmark, reward, seed "
        "workflows. Test: of the design that validation selects at the design budget. Lead: of group RLAO over this "
        "designer, paired over items; P(better): that an episode of group RLAO beats one of this designer, ties half. "
        "Search: the best workflow of the whole budget. Updates that changed the weights, and optimizer steps of the "
        "regressions: means over seeds."
    )
    return table


def mean_lead(results: Sequence[Results], algo: str, scores: Callable[[Results, str], np.ndarray]) -> Estimate:
    """Return by how much the leading learner is ahead of another one, as a mean over benchmarks.

    Args:
        results: of one set-up for each benchmark; their items, seeds and episodes are resampled apart.
        algo: the other learner.
        scores: those of the designs or of the searches.
    """
    return mean_of(
        [
            HierarchicalBootstrap(result.items, seed=number).differences(
                scores(result, LEADS), result.stream(LEADS), scores(result, algo), result.stream(algo)
            )
            for number, result in enumerate(results)
        ]
    )


LEARNERS_STUDY = Study("learners", learner_cells, write_report, announce=True)

if __name__ == "__main__":
    sys.exit(LEARNERS_STUDY.run(parse(LearnersConfig, __doc__)))
