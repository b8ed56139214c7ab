"""Commands and run folders of earlier versions: settings of learners stood among the options of the meta-agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOVED = {
    "rlao": ("learning_rate", "epochs", "thin", "warmup_steps", "tau"),
    "sft": ("learning_rate", "epochs", "thin", "warmup_steps"),
    "grpo": ("learning_rate",),
}
"""Algorithm -> its settings that used to be options of the meta-agent."""


def policy_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the meta-agent without those of learners.

    >>> policy_options({"temperature": 0.5, "epochs": 8})
    {'temperature': 0.5}
    """
    return {key: value for key, value in given.items() if key not in MOVED["rlao"]}


def algorithm_options(algo: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an algorithm that stand among the options of the meta-agent.

    >>> algorithm_options("sft", {"temperature": 0.5, "epochs": 8, "tau": 0.1})
    {'epochs': 8}
    """
    moved = {key: given[key] for key in MOVED.get(algo, ()) if key in given}
    if algo == "grpo" and moved:
        moved["learning_rate"] /= 2  # the meta-agent's suited regression; GRPO took half of it
    return moved
