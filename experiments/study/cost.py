"""What a study will cost, and the least cap under which it can work, from the ledger of a short dry run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from w4s_gym.errors import ConfigError
from w4s_gym.executors.base import Usage
from w4s_gym.study.cells import Cell
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.designers import Designer
from w4s_gym.study.environment import make_environment

DRY_ITEMS = 4
"""Items of the dry run."""


@dataclass(frozen=True)
class Plan:
    """Expected cost."""

    calls: float
    tokens: float
    dollars: float | None
    """None when the executor's price is unknown."""
    least: float | None
    """Least cap of dollars, for all cells together, under which each can take a first step and be tested."""
    dry: Usage
    """What the dry run cost."""
    simulated: bool

    def text(self) -> str:
        """One line."""
        price = "an unknown price" if self.dollars is None else f"${self.dollars:,.2f}"
        mark = " (simulated)" if self.simulated else ""
        least = f"; the least --max-dollars that works is about {self.least:g}" if self.least else ""
        return (
            f"planned cost{mark}: about {self.calls:,.0f} executor calls, {self.tokens:,.0f} tokens, {price} "
            f"(estimated from a dry run of {self.dry.calls} calls){least}"
        )


def plan(cells: Sequence[Cell], shares: int | None = None) -> Plan:
    """Estimate the cost of a study.

    The dry run measures the seed workflows on a few validation items of each benchmark; designs are assumed to cost as
    much as the seed workflows do, for the least cap as the dearest of them.

    Args:
        cells: what is to be run.
        shares: how many cells share the cap of the study; by default these.
    """
    runs: list[tuple[tuple[object, ...], _DryRun]] = []

    def dry_run(config: CompareConfig) -> _DryRun:
        key = (config.env, config.executor, config.env_options, config.validation_size, config.test_size)
        found = next((run for known, run in runs if known == key), None)
        if found is None:
            found = _dry_run(config)
            runs.append((key, found))
        return found

    calls = tokens = least = 0.0
    dollars: float | None = 0.0
    for cell in cells:
        for config in cell.designs_for:
            dry = dry_run(config)
            usage = dry.usage
            planned = _planned_calls(config, cell.designer, dry) / len(cell.designs_for)
            calls += planned
            tokens += planned * usage.tokens / max(1, usage.calls)
            if dollars is not None:
                dollars = None if usage.dollars is None else dollars + planned * usage.dollars / max(1, usage.calls)
        for part in cell.parts:
            dry = dry_run(part.config)
            runs_of_part = _first_step(part.config, cell.designer, dry) if part.trains else 0.0
            if not part.trains:
                runs_of_part = _evaluation_runs(part.config, cell.designer, dry) + dry.seeds * dry.validation_size
            least = max(least, (runs_of_part * dry.dearest_run + dry.dearest_call) / part.share)
    spent = sum((run.usage for _, run in runs), Usage())
    simulated = any(run.simulated for _, run in runs)
    whole = _rounded_up(least * (shares or len(cells)))
    return Plan(calls, tokens, dollars, None if dollars is None else whole, spent, simulated)


def check_cap(found: Plan, cap: float, shares: int) -> None:
    """Refuse a cap of dollars under which a cell would end before it has measured anything.

    Args:
        found: what is to be run.
        cap: most dollars of the study.
        shares: how many cells share it.

    Raises:
        ConfigError: the cap is too low, or the executor's price is not known; the message says what works.
    """
    if found.least is None:
        raise ConfigError(
            "--max-dollars needs a known price, in dollars per million tokens: set it with --env-options "
            """'{"executor_config": {"price": {"input": ..., "output": ...}}}'"""
        )
    if cap < found.least:
        raise ConfigError(
            f"expected --max-dollars of at least {found.least:g}; got {cap:g}: shared out among {shares} cells, it "
            "would end some before they have measured anything. What is to be run is planned to cost "
            f"${found.dollars:,.2f}{' (simulated)' if found.simulated else ''}, but before each call the most that it "
            "may cost is set aside"
        )


def _rounded_up(value: float) -> float:
    """Round up to two digits: an estimate pretends no more."""
    if value <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / unit - 1e-9) * unit:.2g}")


@dataclass(frozen=True)
class _DryRun:
    usage: Usage
    seeds: int
    """Workflows that an episode starts with."""
    runs: int
    """Runs of a workflow on an item."""
    dearest_run: float
    """Dollars of a run of the dearest seed workflow."""
    dearest_call: float
    """Most dollars that were set aside for one call."""
    simulated: bool
    validation_size: int
    test_size: int

    @property
    def calls_per_run(self) -> float:
        return self.usage.calls / self.runs


def _dry_run(config: CompareConfig) -> _DryRun:
    """Measure the seed workflows on a few items."""
    env = make_environment(replace(config, max_dollars=0.0), "compact", 1)
    split = env.split
    env.close()
    # What other environments remember would be charged, but not asked: no call would tell what is set aside for one.
    options = {**config.env_options, "validation_size": DRY_ITEMS, "remember": False}
    env = make_environment(replace(config, env_options=options, max_dollars=0.0), "compact", 1)
    try:
        env.reset(seed=0)
        seeds = env.seed_evaluations.values()
        return _DryRun(
            env.ledger.usage,
            len(seeds),
            sum(len(evaluation.items) for evaluation in seeds),
            max((evaluation.usage.dollars or 0.0) / len(evaluation.items) for evaluation in seeds),
            env.ledger.dearest,
            env.executor.simulated,
            len(split.validation),
            len(split.test),
        )
    finally:
        env.close()


def _planned_calls(config: CompareConfig, designer: Designer, dry: _DryRun) -> float:
    """Executor calls of one cell: training or search, and the item runs of its evaluation."""
    if designer.measures is not None:
        search = designer.measures * dry.validation_size * dry.calls_per_run
    else:
        each = config.turns * config.candidates + dry.seeds if designer.meta_agent else 1.3
        whole = config.iterations * each * dry.validation_size * dry.calls_per_run
        search = min(config.budget, whole) if config.iterations else config.budget
    return search + _evaluation_runs(config, designer, dry) * dry.calls_per_run


def _evaluation_runs(config: CompareConfig, designer: Designer, dry: _DryRun) -> int:
    """Item runs after training or search: its result on a fresh draw and tested, and the designs of a meta-agent."""
    runs = dry.validation_size + dry.test_size
    if designer.meta_agent:
        turns = max(config.design_turns, config.curve_turns)
        candidates = config.design_episodes * config.design_candidates
        validation = candidates * (turns + 1) + dry.seeds
        tests = candidates + config.design_episodes * (turns - 1) / 2 + 1
        runs += round(validation * dry.validation_size + tests * dry.test_size)
    return runs


def _first_step(config: CompareConfig, designer: Designer, dry: _DryRun) -> int:
    """Item runs up to the end of the first iteration."""
    if designer.measures is not None:
        return designer.measures * dry.validation_size
    turns = config.turns if designer.meta_agent else 1
    return (dry.seeds + turns * config.candidates) * dry.validation_size
