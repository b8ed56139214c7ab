"""The figures of one cell as plain numbers, for trackers and exports; their means over seeds stand in the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from w4s_gym.study.config import CompareConfig
from w4s_gym.study.training import updates


def cell_figures(config: CompareConfig, result: Mapping[str, Any]) -> dict[str, float]:
    """Return the figures of a finished cell.

    Args:
        config: of the cell; its design budget decides which designs count.
        result: what the journal keeps of it.

    Returns:
        Name -> number; shares from 0 to 1, seconds, US dollars. What does not apply is left out. Where a meta-agent
        designed for several benchmarks, their ids stand in front: `W4S-GSM8K-v0/test/design`.
    """
    figures: dict[str, float] = {}
    if "targets" in result:
        for env, measured in result["targets"].items():
            figures |= {f"{env}/{name}": value for name, value in _scores(config, measured).items()}
    else:
        figures |= _scores(config, result)
    for part in ("training", "usage"):
        usage = result.get(part)
        if usage is not None:
            figures |= {f"{part}/{name}": usage[name] for name in ("calls", "seconds")}
            figures[f"{part}/tokens"] = usage["prompt_tokens"] + usage["completion_tokens"]
            if usage["dollars"] is not None:
                figures[f"{part}/dollars"] = usage["dollars"]
    figures |= {f"seconds/{name}": value for name, value in result["seconds"].items()}
    made = updates(result["curve"])
    if made is not None:
        figures["updates"] = made
    for name, count in result.get("written", {}).items():
        figures[f"meta_agent/{name}"] = count
    return {name: float(value) for name, value in figures.items()}


def _scores(config: CompareConfig, measured: Mapping[str, Any]) -> dict[str, float]:
    figures: dict[str, float] = {}
    if "search" in measured:
        found = measured["search"]
        figures["validation/search"] = found["validation"]
        figures["validation/search_again"] = found["validation_fresh"]
        figures["test/search"] = _accuracy(measured, found["workflow"])
        figures["tokens_per_item/search"] = found["tokens_per_item"]
    if "design" in measured:
        chosen = [episode["selected"][str(config.design_turns)] for episode in measured["design"]["episodes"]]
        figures["validation/design"] = float(np.mean([one["validation"] for one in chosen]))
        figures["test/design"] = float(np.mean([_accuracy(measured, one["workflow"]) for one in chosen]))
    return figures


def _accuracy(measured: Mapping[str, Any], digest: str) -> float:
    """Test accuracy over the items that the executor could be asked about."""
    return float(np.nanmean(np.array(measured["workflows"][digest]["scores"], dtype=float)))
