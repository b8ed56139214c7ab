"""The policy protocol: chat messages in, m texts out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from w4s_gym.errors import ConfigError
from w4s_gym.messages import Message
from w4s_gym.prompts import PromptStyle

if TYPE_CHECKING:  # it needs packages of the extra `train`
    from w4s_gym.algos.codec import Codec


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
    prompt_style: PromptStyle
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


def write_candidates(policy: Policy, states: Sequence[Sequence[Sequence[Message]]], seed: int) -> list[list[Sample]]:
    """Write one text for each candidate of several states.

    Args:
        policy: who writes.
        states: for each state one conversation per candidate, as many for all. Where the candidates of every state
            share theirs, the policy is asked for several samples of it.
        seed: fixes the samples.
    """
    counts = {len(chats) for chats in states}
    if len(counts) != 1:
        raise ValueError(f"expected as many candidates in every state; got {sorted(counts)}")
    (count,) = counts
    if all(chat == chats[0] for chats in states for chat in chats):
        return policy.sample([chats[0] for chats in states], count, seed)
    written = [samples[0] for samples in policy.sample([chat for chats in states for chat in chats], 1, seed)]
    return [written[start : start + count] for start in range(0, len(written), count)]


@runtime_checkable
class TrainablePolicy(Policy, Protocol):
    """What a policy must offer so that learners can train it: its weights, and how text becomes tokens."""

    model: Any
    """The causal language model of transformers (a `torch.nn.Module`, perhaps with adapters). Learners change those of
    its parameters that require a gradient."""
    codec: Codec
    """Turns chat rows into tokens exactly as `sample` reads and writes them."""
    temperature: float
    """Of its samples, which importance ratios need."""
    tiny: bool
    """Whether it is the embedded meta-agent, for which learners keep settings of their own (`TINY`)."""

    def save(self, folder: Path) -> None:
        """Write weights and tokenizer."""
        ...

    def load(self, folder: Path) -> None:
        """Read what `save` wrote into `model`; optimizers keep pointing at the same parameters."""
        ...


def trainable(policy: Policy, learner: str) -> TrainablePolicy:
    """Return the policy, if it can be trained.

    Raises:
        ConfigError: it has no weights here; the message names the learner.
    """
    if not isinstance(policy, TrainablePolicy):
        name = getattr(policy, "name", policy)
        raise ConfigError(f"{learner} trains `tiny` or `hf:<model>`; the policy {name} has no weights here")
    return policy
