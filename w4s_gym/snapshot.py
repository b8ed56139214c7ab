"""A moment of an episode as plain data, which a search that branches comes back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from w4s_gym.config import EnvConfig
from w4s_gym.errors import ConfigError
from w4s_gym.measure import Kept
from w4s_gym.messages import Message
from w4s_gym.results import Candidate, Evaluation
from w4s_gym.state import DesignState
from w4s_gym.usage import Usage

_NO_MATTER = ("executor_config", "limits", "budget", "remember", "sandbox", "allow_unsafe", "journal")
"""Options of `EnvConfig` that may differ where a snapshot is loaded: they say where, how fast and for how much."""


@dataclass(frozen=True)
class Snapshot:
    """What `WorkflowDesignEnv.save_state` returns. It can be pickled and copied."""

    made_for: Mapping[str, Any]
    """What the environment must agree in, by name of the option."""
    state: DesignState
    chat: tuple[Message, ...]
    """Messages of the next decision."""
    pending: Candidate | None
    """The candidate that waits for its repair."""
    over: bool
    """The episode has ended."""
    shown: frozenset[str]
    """Ids of the items that were shown to the meta-agent."""
    draw: int
    """Of the executor's randomness."""
    usage: Usage
    """Of the episode so far."""
    seed_evaluations: Mapping[str, Evaluation]
    randomness: Mapping[str, Any]
    """State of the environment's random numbers."""
    kept: Kept
    """What was measured so far, so that it is known wherever the snapshot is loaded."""

    def check(self, here: Mapping[str, Any]) -> None:
        """Check that an environment can go on from here.

        Args:
            here: what `made_for` would be in that environment.

        Raises:
            ConfigError: it differs from the one that the snapshot was taken in; the message says in what.
        """
        differs = [name for name in self.made_for if self.made_for[name] != here.get(name)]
        if differs:
            told = "; ".join(
                f"{name}: {self.made_for[name]!r:.80} then, {here.get(name)!r:.80} here" for name in differs
            )
            raise ConfigError(f"expected a state of an environment like this one; it differs in {told}")


def made_for(
    benchmark: str, options: Mapping[str, Any], executor: str, split: str, config: EnvConfig
) -> dict[str, Any]:
    """Collect what decides which rewards actions earn.

    Args:
        benchmark: its name.
        options: its own options.
        executor: spec or name.
        split: hash of the items.
        config: options of the environment.
    """
    mattering = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in _NO_MATTER}
    return {"benchmark": benchmark, **options, "executor": executor, "split": split, **mattering}
