"""The body of `POST /chat/completions`."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from w4s_gym.executors.base import ChatRequest
from w4s_gym.executors.dialect import Wording
from w4s_gym.messages import Message
from w4s_gym.roles import in_strict_order, without_system


def body(request: ChatRequest, wording: Wording, seed: int) -> dict[str, Any]:
    """Write the request's part of the body."""
    features = wording.features
    written: dict[str, Any] = {"messages": _messages(request, wording)}
    written["max_tokens" if "max_tokens" in features else "max_completion_tokens"] = wording.max_tokens
    if "temperature" in features:
        written["temperature"] = wording.temperature
    if "n" in features:
        written["n"] = wording.n
    if "seed" in features:
        written["seed"] = seed
    if "json_schema" in features:
        written["response_format"] = {"type": "json_schema", "json_schema": _schema(request.json_keys)}
    elif "json_mode" in features:
        written["response_format"] = {"type": "json_object"}
    if request.tools:
        written["tools"] = [dict(tool) for tool in request.tools]
        if request.tool_choice is not None:
            written["tool_choice"] = request.tool_choice
    return written


def sample_seed(request: ChatRequest, sample_index: int, reask: int) -> int:
    """Return the seed of a sample, a function of prompt, draw, sample index and number of re-asks; 31 bits."""
    text = json.dumps([[dict(m) for m in request.messages], request.draw, sample_index, reask], sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1


def _messages(request: ChatRequest, wording: Wording) -> list[Message]:
    messages = [dict(m) for m in request.messages]
    if "json_mode" in wording.features and not any("json" in m.get("content", "").lower() for m in messages):
        # OpenAI's JSON mode is refused unless some message says "JSON".
        messages.append({"role": "system", "content": "Reply with one JSON object."})
    if any(m["role"] == "system" for m in messages) and "system" not in wording.features:
        return without_system(messages)
    return messages if "any_order" in wording.features else in_strict_order(messages)


def _schema(keys: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": "reply",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {key: {"type": "string"} for key in keys},
            "required": list(keys),
            "additionalProperties": False,
        },
    }
