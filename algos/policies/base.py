"""The policy protocol: chat messages in, m texts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from w4s_gym.messages import Message


@dataclass(frozen=True)
class Sample:
    """One text written by a policy."""

    text: str
    truncated: bool = False
    """The policy hit its token limit."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Policy(Protocol):
    """A meta-agent, trainable or not."""

    name: str
    """The string that made it: `tiny`, `hf:<name or folder>`, `openai:<model>`, ..."""
    prompt_style: Literal["full", "compact"]
    """Which observation it wants (`prompt_style` of the environment)."""

    def sample(self, conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
        """Write `m` texts for each conversation.

        Args:
            conversations: chat messages, the last one from the user.
            m: number of samples per conversation.
            seed: fixes the samples, whatever the batch they are made in.

        Returns:
            One list of `m` samples per conversation, in order. Equal conversations get independent samples.
        """
        ...


class TrainablePolicy(Policy, Protocol):
    """A policy whose weights can be fitted, saved and loaded."""

    def save(self, folder: Path) -> None:
        """Write weights and tokenizer."""
        ...

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        ...
