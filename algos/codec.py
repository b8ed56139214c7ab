"""Chat rows as tokens, the way a policy reads and writes them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from w4s_gym.errors import ConfigError
from w4s_gym.messages import Message
from w4s_gym.roles import in_strict_order, without_system

_log = logging.getLogger(__name__)
_ANSWER = "Yes, it is 7."
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_OPENS, _CLOSES = "\ue0f0", "\ue0f1"
"""Characters for private use, around the number of a control token that is held back."""

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
    """Turns chat rows into tokens the way the policy reads and writes them.

    Templates that know no system role, or insist on user and assistant taking turns, get the conversation so.
    """

    def __init__(self, tokenizer: Any, end_token: int) -> None:
        """Wrap a transformers tokenizer that has a chat template; `end_token` ends an assistant's turn."""
        self.tokenizer = tokenizer
        self.end_token = end_token
        self._controls = control_tokens(tokenizer)
        self._orders: list[Callable[[Sequence[Message]], list[Message]]] = [_as_it_is, in_strict_order, without_system]

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a conversation, up to where the assistant starts to write."""
        present = [c for c in self._controls if any(c in m["content"] for m in messages)]
        if not present:
            return self._tokens(self._text(messages))
        # The texts' own control tokens stay text: they are held back until the template has written its own.
        held = _as_it_is(messages)
        for message in held:
            message["content"] = re.sub(f"[{_OPENS}{_CLOSES}]", _UNKNOWN, message["content"])
            for i, control in enumerate(present):
                message["content"] = message["content"].replace(control, f"{_OPENS}{i}{_CLOSES}")
        tokens: list[int] = []
        for i, piece in enumerate(re.split(f"{_OPENS}(\\d+){_CLOSES}", self._text(held))):
            tokens += self._tokens(present[int(piece)], plain=True) if i % 2 else self._tokens(piece)
        return tokens

    def _tokens(self, text: str, plain: bool = False) -> list[int]:
        """Tokens of a text; `plain` takes control tokens in it for text."""
        more = {"split_special_tokens": True} if plain else {}
        return list(self.tokenizer(text, add_special_tokens=False, **more)["input_ids"])

    def _text(self, messages: Sequence[Message]) -> str:
        """Write a conversation with the template, in an order of roles that it takes; which one that is, is kept.

        Raises:
            ConfigError: the template takes it in none.
        """
        while True:
            try:
                ordered = self._orders[0](messages)
                text = str(self.tokenizer.apply_chat_template(ordered, add_generation_prompt=True, tokenize=False))
                system = [m["content"].strip() for m in ordered if m["role"] == "system"]
                if len(self._orders) == 1 or all(content in text for content in system):
                    return text
                why = "it leaves system messages out"
            except TemplateError as error:
                why = str(error)
            if len(self._orders) == 1:
                raise ConfigError(
                    f"the chat template of {getattr(self.tokenizer, 'name_or_path', 'the tokenizer')} takes none of: "
                    f"the roles as they are, user and assistant in turns, no system message; it says: {why}"
                )
            _log.info("chat template: %s; trying another order of roles", why)
            del self._orders[0]

    def target(self, action: str, truncated: bool = False) -> list[int]:
        """Tokens of what the assistant wrote, with the end-of-turn token unless it was cut off before it."""
        tokens = self._tokens(action, plain=any(control in action for control in self._controls))
        return tokens if truncated else [*tokens, self.end_token]

    def encode(self, row: WeightedText) -> EncodedRow:
        """Tokens of a row."""
        return EncodedRow(tuple(self.prompt(row.messages)), tuple(self.target(row.action, row.truncated)), row.weight)


def control_tokens(tokenizer: Any) -> list[str]:
    """Texts that a tokenizer takes for control tokens, longest first."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {*getattr(tokenizer, "all_special_tokens", ()), *(str(t) for t in added if t.special)}
    return sorted(special - {""}, key=lambda text: (-len(text), text))


def end_of_turn(tokenizer: Any) -> int:
    """Token with which the chat template ends what the assistant wrote; else the tokenizer's end of a sequence."""
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": _ANSWER}], tokenize=False
        )
    except TemplateError:
        return int(tokenizer.eos_token_id)
    rest = text.rpartition(_ANSWER)[2].lstrip()
    for control in control_tokens(tokenizer):
        if rest.startswith(control):
            return int(tokenizer.convert_tokens_to_ids(control))
    return int(tokenizer.eos_token_id)


def _as_it_is(messages: Sequence[Message]) -> list[Message]:
    return [dict(m) for m in messages]
