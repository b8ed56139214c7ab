"""Trajectories: what policies wrote and what it earned, as plain data on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from w4s_gym.jsonl import mend_end, whole_lines
from w4s_gym.messages import Message
from w4s_gym.reward import NEW_BEST, RewardKind


@dataclass(frozen=True)
class Row:
    """One text a policy wrote, with the messages of its state: a training row of every algorithm."""

    messages: tuple[Message, ...]
    """Context: chat messages up to and including the last user message, without drawn requests."""
    action: str
    """The policy's text, exactly as written."""
    reward: float | None
    """Reward of the candidate it belongs to, 0 for an attempt that failed its self-test; None when it could not be
    measured (masked out of training)."""
    accuracy: float | None
    """Validation accuracy, None when not evaluated."""
    kind: Literal["design", "repair"]
    """A first attempt, or a repair of an attempt that failed its self-test."""
    status: str
    """Status of the candidate: `evaluated`, `skipped` or `infrastructure`."""
    chosen: bool
    """Whether the state advanced with this candidate."""
    benchmark: str
    run: str
    """Which run wrote it: `<algorithm>/<seed>`."""
    episode: int
    turn: int
    candidate: int
    """Index among the m candidates of this state."""
    simulated: bool
    """Whether the executor behind the reward was simulated."""
    reward_kind: RewardKind
    """What the reward says: its tier, or, for the other kinds, by how much the workflow beat the best one."""
    truncated: bool = False
    """The policy hit its token limit: it did not end the text itself."""

    new_best: bool = False
    """Whether the text yielded a workflow that beat all before it."""

    @property
    def state(self) -> tuple[str, str, int, int]:
        """Which state it was written in: the rows of a group share it."""
        return self.benchmark, self.run, self.episode, self.turn

    @property
    def earned(self) -> float:
        """Reward of a row that was measured.

        Raises:
            ValueError: it was not.
        """
        if self.reward is None:
            raise ValueError(f"expected a row that was measured; {self.run}, episode {self.episode} has no reward")
        return self.reward

    @classmethod
    def from_fields(cls, values: dict[str, Any]) -> Self:
        """Make a row of its fields as JSON has them.

        Rows written before there was `new_best` say it by their reward.

        Raises:
            ValueError: a field is missing or unknown.
        """
        values = dict(values)
        if "new_best" not in values and "reward_kind" in values:
            reward, tiers = values.get("reward"), values["reward_kind"] == "tiers"
            values["new_best"] = reward is not None and (reward == NEW_BEST if tiers else reward > 0)
        names = {f.name for f in fields(cls)}
        missing, unknown = sorted(names - set(values)), sorted(set(values) - names)
        if missing or unknown:
            raise ValueError(
                f"expected the fields {', '.join(sorted(names))}; missing: {', '.join(missing) or 'none'}; "
                f"unknown: {', '.join(unknown) or 'none'} (was it written by another version?)"
            )
        return cls(**{**values, "messages": tuple(values["messages"])})


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Append rows to a JSONL file, one flushed line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mend_end(path, unbroken=True)
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            file.flush()


def read_rows(path: Path) -> Iterator[Row]:
    """Read what `write_rows` wrote; a torn last line is dropped with a warning.

    Raises:
        ValueError: a line is not a row; the message names the file and the line.
    """
    for number, line in whole_lines(path, unbroken=True):
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise ValueError(f"expected a JSON object, got {line.decode().strip()[:80]!r}")
            yield Row.from_fields(values)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not a trajectory row: {error}") from error
