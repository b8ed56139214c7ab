"""Trajectories: what policies wrote and what it earned, as plain data on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

from w4s_gym.messages import Message
from w4s_gym.reward import NEW_BEST, RewardKind


@dataclass(frozen=True)
class Row:
    """One text a policy wrote, with the messages it saw: a training row of every algorithm."""

    messages: tuple[Message, ...]
    """Context: chat messages up to and including the last user message."""
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

    @property
    def is_new_best(self) -> bool:
        """Whether the text yielded a workflow that beat all before it."""
        if self.reward is None:
            return False
        return self.reward == NEW_BEST if self.reward_kind == "tiers" else self.reward > 0


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Append rows to a JSONL file, one flushed line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
            file.flush()


def read_rows(path: Path) -> Iterator[Row]:
    """Read what `write_rows` wrote.

    Raises:
        ValueError: a line is not a row; the message names the file and the line.
    """
    names = {f.name for f in fields(Row)}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                data = json.loads(line)
                if set(data) != names:
                    raise ValueError(f"expected the fields {sorted(names)}, got {sorted(data)}")
                yield Row(**{**data, "messages": tuple(data["messages"])})
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: not a trajectory row: {error}") from error
