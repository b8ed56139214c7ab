"""Whether there is anything to gain: where a seed workflow solves nearly everything, all rewards are 0."""

from __future__ import annotations

from collections.abc import Mapping

from w4s_gym.results import Evaluation

ROOM = 0.95
"""Validation accuracy of a seed workflow from which on rewards can hardly teach anything."""

FEWEST = 16
"""Items below which an accuracy says nothing about that."""


class NoRoomWarning(UserWarning):
    """A seed workflow leaves next to nothing to gain."""


def no_room(seeds: Mapping[str, Evaluation], simulated: bool) -> str:
    """Say that a seed workflow leaves next to nothing to gain; empty if none does.

    Args:
        seeds: validation results of the seed workflows by name.
        simulated: whether the executor is.
    """
    name, best = max(seeds.items(), key=lambda pair: pair[1].accuracy, default=("", None))
    if best is None or best.accuracy < ROOM or len(best.items) < FEWEST:
        return ""
    mark = " (simulated)" if simulated else ""
    return (
        f"the seed workflow {name} already scores {best.accuracy:.3f}{mark} on validation; hardly any reward can be "
        "earned. Choose a weaker executor, a harder environment, or fewer seed workflows (option `seed_workflows`)"
    )
