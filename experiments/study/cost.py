"""What a study will cost, from the ledger of a short dry run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    dry: Usage
    """What the dry run cost."""
    simulated: bool

    def text(self) -> str:
        """One line."""
        price = "an unknown price" if self.dollars is None else f"${self.dollars:,.2f}"
        mark = " (simulated)" if self.simulated else ""
        return (
            f"planned cost{mark}: about {self.calls:,.0f} executor calls, {self.tokens:,.0f} tokens, {price} "
            f"(estimated from a dry run of {self.dry.calls} calls)"
        )


def plan(cells: Sequence[Cell]) -> Plan:
    """Estimate the cost of a study.

    The dry run measures the seed workflows on a few validation items of each benchmark; designs are assumed to cost as
    much as the seed workflows do.
    """
    runs: list[tuple[tuple[object, ...], _DryRun]] = []
    calls = tokens = 0.0
    dollars: float | None = 0.0
    for cell in cells:
        for config in cell.designs_for:
            key = (config.env, config.executor, config.env_options, config.validation_size, config.test_size)
            dry = next((run for known, run in runs if known == key), None)
            if dry is None:
                dry = _dry_run(config)
                runs.append((key, dry))
            usage = dry.usage
            planned = _planned_calls(config, cell.designer, dry) / len(cell.designs_for)
            calls += planned
            tokens += planned * (usage.prompt_tokens + usage.completion_tokens) / usage.calls
            if dollars is not None:
                dollars = None if usage.dollars is None else dollars + planned * usage.dollars / usage.calls
    spent = sum((run.usage for _, run in runs), Usage())
    simulated = any(run.simulated for _, run in runs)
    return Plan(calls, tokens, dollars, spent, simulated)


@dataclass(frozen=True)
class _DryRun:
    usage: Usage
    runs: int
    """Runs of a workflow on an item."""
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
    options = {**config.env_options, "validation_size": DRY_ITEMS}
    env = make_environment(replace(config, env_options=options, max_dollars=0.0), "compact", 1)
    try:
        env.reset(seed=0)
        runs = sum(len(evaluation.items) for evaluation in env.seed_evaluations.values())
        simulated = env.executor.simulated
        return _DryRun(env.ledger.usage, runs, simulated, len(split.validation), len(split.test))
    finally:
        env.close()


def _planned_calls(config: CompareConfig, designer: Designer, dry: _DryRun) -> float:
    """Executor calls of one cell: training or search, and the item runs of its evaluation."""
    runs = dry.validation_size + dry.test_size  # the result of the search, on a fresh draw and tested
    if designer.meta_agent:
        turns = max(config.design_turns, config.curve_turns)
        candidates = config.design_episodes * config.design_candidates
        validation = candidates * (turns + 1) + 3
        tests = candidates + config.design_episodes * (turns - 1) / 2 + 1
        runs += round(validation * dry.validation_size + tests * dry.test_size)
    if designer.measures is not None:
        search = designer.measures * dry.validation_size * dry.calls_per_run
    else:
        each = config.turns * config.candidates + 3 if designer.meta_agent else 1.3
        whole = config.iterations * each * dry.validation_size * dry.calls_per_run
        search = min(config.budget, whole) if config.iterations else config.budget
    return search + runs * dry.calls_per_run
