"""What a run that goes on may change: more seeds, more designers, more dollars; all else is as it was started."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from w4s_gym.errors import ConfigError
from w4s_gym.study.config import NOT_MEASURED, CompareConfig, option, stored_value
from w4s_gym.study.designers import find_designer

C = TypeVar("C", bound=CompareConfig)


def resumed(stored: Mapping[str, Any], given: C) -> C:
    """Return the configuration of a run that goes on.

    Args:
        stored: the configuration in the run folder.
        given: the command line; what it sets must agree, or add seeds, designers (with options of theirs) or dollars.

    Raises:
        ConfigError: an option cannot be changed; the message names it.
    """
    kind = type(given)
    unknown = sorted(set(stored) - set(given.measured))
    if unknown:
        raise ConfigError(f"expected a run folder of this command; it holds another experiment, with {unknown[0]}")
    run = kind.of_run(stored)
    changed: dict[str, Any] = {}
    for name in given.measured:
        value, before = getattr(given, name), getattr(run, name)
        if not given.sets(name) or value == before:
            continue
        if name == "algo_options":
            allowed = _only_for_new(before, value, set(given.algos) - set(run.algos))
        elif name == "algos":
            allowed = set(before) <= set(value)
            value = (*before, *(algo for algo in value if algo not in before))
        else:
            allowed = (name == "seeds" and value > before) or (name == "max_dollars" and _raised(before, value))
        if not allowed:
            raise ConfigError(
                f"the run was started with {option(name)} {stored_value(name, before)}; "
                f"it cannot go on with {stored_value(name, value)}{_MAY.get(name, '')}"
            )
        changed[name] = value
    new = replace(run, **changed, **{f.name: getattr(given, f.name) for f in fields(kind) if f.name in NOT_MEASURED})
    _check_shares(run, new)
    _check_matched(run, new)
    return new


_MAY = {
    "seeds": ", only with more",
    "max_dollars": ", only with more, or with 0 for no limit",
    "algos": ": name all of its designers, and those that are to be added",
    "algo_options": ": options can be given for designers that are added",
}


def _raised(before: float, value: float) -> bool:
    return before > 0 and (value == 0 or value > before)


def _only_for_new(before: Mapping[str, Any], value: Mapping[str, Any], added: set[str]) -> bool:
    kept = {algo: options for algo, options in value.items() if algo not in added}
    return kept == dict(before)


def _check_shares(run: CompareConfig, new: CompareConfig) -> None:
    """Refuse more cells under the same cap: finished ones may have spent their whole share of it."""
    cells, now = len(run.algos) * run.seeds, len(new.algos) * new.seeds
    if not new.max_dollars or new.max_dollars / now >= run.max_dollars / cells * (1 - 1e-9):
        return
    least = math.ceil(100 * run.max_dollars / cells * now - 1e-6) / 100
    raise ConfigError(
        f"the run was started with --max-dollars {run.max_dollars:g} for {cells} cells; with {now} cells it has to be "
        f"at least {least:g}, so that each has as much as those that are finished had"
    )


def _check_matched(run: CompareConfig, new: CompareConfig) -> None:
    matching = [algo for algo in run.algos if find_designer(algo).matches_tokens]
    added = [algo for algo in new.algos if algo not in run.algos]
    if matching and any(not find_designer(algo).reference for algo in added):
        raise ConfigError(
            f"{', '.join(matching)} of this run was given as many tokens as what the others found spends, so --algos "
            f"{' '.join(added)} cannot be added to it; start a new run"
        )
