"""Conversations for models that know fewer roles than the protocol, or want them in a strict order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from w4s_gym.messages import Message

_GO_ON = "Go on."
"""Said by the user where a model insists on a user's message and there is none."""


def in_strict_order(messages: Sequence[Mapping[str, str]]) -> list[Message]:
    r"""Return the conversation with at most one system message, in front, then user and assistant in turns, user last.

    System messages further back become the user's, and neighbours of one role become one message. A conversation
    that is in order already stays as it is.

    Example:
        >>> chat = [{"role": "user", "content": "Add 1 and 2."}, {"role": "system", "content": "Be brief."}]
        >>> in_strict_order(chat)
        [{'role': 'user', 'content': 'Add 1 and 2.\n\nBe brief.'}]
    """
    ordered: list[Message] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "system" and any(m["role"] != "system" for m in ordered):
            role = "user"
        if ordered and ordered[-1]["role"] == role:
            ordered[-1]["content"] += f"\n\n{content}"
            continue
        if role == "assistant" and all(m["role"] == "system" for m in ordered):
            ordered.append({"role": "user", "content": _GO_ON})
        ordered.append({"role": role, "content": content})
    if not ordered or ordered[-1]["role"] != "user":
        ordered.append({"role": "user", "content": _GO_ON})
    return ordered


def without_system(messages: Sequence[Mapping[str, str]]) -> list[Message]:
    """Return the conversation in strict order with the system text at the head of the first user message."""
    ordered = in_strict_order(messages)
    if ordered[0]["role"] != "system":
        return ordered
    system, first, *rest = ordered
    return [{"role": "user", "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def is_strict(messages: Sequence[Mapping[str, str]]) -> bool:
    """Whether `in_strict_order` would leave the conversation as it is."""
    return [dict(m) for m in messages] == in_strict_order(messages)
