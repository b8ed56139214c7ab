"""Chat rows as tokens, the way a policy reads and writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from w4s_gym.messages import Message

PLAIN_CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ':\n' + message['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)
"""Used for base models, whose tokenizers have no chat template."""


@dataclass(frozen=True)
class WeightedText:
    """One training row: write `action` after `messages`, with a weight."""

    messages: tuple[Message, ...]
    action: str
    weight: float
    truncated: bool = False
    """The policy stopped at its token limit: the end-of-turn token is no part of the target."""


@dataclass(frozen=True)
class EncodedRow:
    """A row as tokens."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]
    weight: float

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.prompt) + len(self.target)


class Codec:
    """Turns chat rows into tokens the way the policy reads and writes them."""

    def __init__(self, tokenizer: Any, end_token: int) -> None:
        """Wrap a transformers tokenizer that has a chat template; `end_token` ends an assistant's turn."""
        self.tokenizer = tokenizer
        self.end_token = end_token

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a conversation, up to where the assistant starts to write."""
        text = self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def target(self, action: str, truncated: bool = False) -> list[int]:
        """Tokens of what the assistant wrote, with the end-of-turn token unless it was cut off before it."""
        tokens = list(self.tokenizer(action, add_special_tokens=False)["input_ids"])
        return tokens if truncated else [*tokens, self.end_token]

    def encode(self, row: WeightedText) -> EncodedRow:
        """Tokens of a row."""
        return EncodedRow(tuple(self.prompt(row.messages)), tuple(self.target(row.action, row.truncated)), row.weight)
