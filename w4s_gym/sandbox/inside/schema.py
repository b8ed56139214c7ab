"""Which calls a workflow may make, with which arguments: checked inside for a clear error, and again on the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from . import tools

MAX_RESPONSES = 64
"""Most samples one call may ask for."""

MAX_MESSAGES = 512
"""Most chat messages in one call."""

_MESSAGE_KEYS = {"role", "content", "name", "tool_calls", "tool_call_id"}

Check = Callable[[Any], str]
"""Returns what was expected, or "" when the value is right."""


def _text(value: Any) -> str:
    return "" if type(value) is str else "a str"


def _optional_text(value: Any) -> str:
    return "" if value is None or type(value) is str else "a str or None"


def _messages(value: Any) -> str:
    expected = "a non-empty list of dicts with the keys 'role' and 'content'"
    if type(value) is not list or not value:
        return expected
    if len(value) > MAX_MESSAGES:
        return f"at most {MAX_MESSAGES} messages"
    for message in value:
        if type(message) is not dict or type(message.get("role")) is not str or "content" not in message:
            return expected
        if not set(message) <= _MESSAGE_KEYS:
            return f"messages with no other keys than {', '.join(sorted(_MESSAGE_KEYS))}"
        content = message["content"]
        parts = type(content) is list and all(type(p) is dict and type(p.get("type")) is str for p in content)
        if not parts and type(content) is not str and not (content is None and "tool_calls" in message):
            return "messages whose content is a str"
        if any(type(message.get(key, "")) is not str for key in ("name", "tool_call_id")):
            return "messages whose name and tool_call_id are str"
        if message["role"] not in ("system", "user", "assistant", "tool", "developer"):
            return "messages with the role 'system', 'user', 'assistant' or 'tool'"
    return ""


def _temperature(value: Any) -> str:
    ok = type(value) in (int, float) and math.isfinite(value) and 0 <= value <= 2
    return "" if ok else "a number from 0 to 2"


def _tokens(value: Any) -> str:
    return "" if type(value) is int and 1 <= value <= 1_000_000 else "an int from 1 to 1000000"


def _responses(value: Any) -> str:
    return "" if type(value) is int and 1 <= value <= MAX_RESPONSES else f"an int from 1 to {MAX_RESPONSES}"


def _keys(value: Any) -> str:
    ok = type(value) is list and len(value) <= 64 and all(type(k) is str for k in value)
    return "" if ok else "a list of at most 64 str"


def _timeout(value: Any) -> str:
    ok = type(value) in (int, float) and math.isfinite(value) and value > 0
    return "" if ok else "a positive number of seconds"


def _format(value: Any) -> str:
    return "" if type(value) in (str, dict) else "'text', 'json_object' or a dict"


_LLM: dict[str, Check] = {
    "messages": _messages,
    "temperature": _temperature,
    "max_completion_tokens": _tokens,
    "num_of_response": _responses,
    "agent_role": _text,
    "instructions": _text,
    "model": _optional_text,
}

METHODS: Mapping[str, Mapping[str, Check]] = {
    "call_llm": {**_LLM, "response_format": _format, "tools": tools.problem, "tool_choice": tools.choice_problem},
    "call_json_format_llm": {**_LLM, "return_dict_keys": _keys},
    "execute_code": {"code": _text, "timeout": _timeout},
    "exec_test": {"solution": _text, "entry_point": _text},
}
"""Method -> keyword -> check. A call carries every keyword and no other."""


def problem(method: str, args: Mapping[str, Any]) -> str:
    """Return what is wrong with the arguments of a known method, or ""."""
    checks = METHODS[method]
    if args.keys() != checks.keys():
        return f"{method} takes exactly the arguments {', '.join(checks)}"
    for name, check in checks.items():
        expected = check(args[name])
        if expected:
            return f"{method}: {name} must be {expected}, got {_show(args[name])}"
    return ""


def _show(value: Any) -> str:
    kind = type(value)
    if kind in (int, float, bool, type(None)) or (kind is str and len(value) < 60):
        return ascii(value)[:80]
    return f"a {kind.__name__}"
