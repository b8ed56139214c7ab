"""The shape of the tools that a call may offer to the executor: what any endpoint reads, and nothing else.

An odd tool makes some servers fail; that would look like a fault of the server, and the item would leave the mean.
"""

from __future__ import annotations

import re
from typing import Any

MAX_TOOLS = 32
"""Most tools of one call."""

_MAX_DEPTH = 8
_MAX_PARTS = 500
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_TEXTS = ("description", "title", "format")
_NUMBERS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")


def problem(tools: Any) -> str:
    """Return what was expected of the tools of a call, or "" when they are right.

    A function has the type `function` and a description as in OpenAI's API. Any other type names a tool that the
    endpoint runs itself; which of these may be used is for the host to say.
    """
    if tools is None:
        return ""
    if type(tools) is not list or len(tools) > MAX_TOOLS:
        return f"a list of at most {MAX_TOOLS} tools"
    for tool in tools:
        if type(tool) is not dict or type(tool.get("type")) is not str:
            return 'a list of dicts like {"type": "function", "function": {"name": ..., "parameters": ...}}'
        if tool["type"] == "function":
            wrong = _function(tool)
            if wrong:
                return wrong
    return ""


def choice_problem(choice: Any) -> str:
    """Return what was expected of `tool_choice`, or "" when it is right."""
    if choice is None or (type(choice) is str and choice in ("auto", "none", "required")):
        return ""
    name = choice["function"].get("name") if type(choice) is dict and type(choice.get("function")) is dict else None
    if _is_name(name) and choice == {"type": "function", "function": {"name": name}}:
        return ""
    return '"auto", "none", "required" or {"type": "function", "function": {"name": ...}}'


def _is_name(value: Any) -> bool:
    return type(value) is str and _NAME.fullmatch(value) is not None


def _function(tool: dict[str, Any]) -> str:
    function = tool.get("function")
    if set(tool) != {"type", "function"} or type(function) is not dict:
        return 'functions with exactly the keys "type" and "function"'
    if not set(function) <= {"name", "description", "parameters", "strict"} or not _is_name(function.get("name")):
        return "functions with a name of at most 64 letters, digits, _ and -, a description and parameters"
    if type(function.get("description", "")) is not str or type(function.get("strict", False)) is not bool:
        return "functions whose description is a str"
    parameters = function.get("parameters", {"type": "object"})
    if type(parameters) is not dict or parameters.get("type") != "object" or not _is_schema(parameters, _MAX_DEPTH, []):
        return "functions whose parameters are a plain JSON schema of an object"
    return ""


def _is_schema(schema: Any, depth: int, parts: list[None]) -> bool:
    """Tell whether a value is a JSON schema of the kind that endpoints read; `parts` counts what was looked at."""
    parts.append(None)
    if type(schema) is not dict or depth == 0 or len(parts) > _MAX_PARTS:
        return False
    return all(_is_entry(key, value, depth - 1, parts) for key, value in schema.items())


def _is_entry(key: str, value: Any, depth: int, parts: list[None]) -> bool:
    if key == "type":
        given = value if type(value) is list else [value]
        return bool(given) and all(type(t) is str and t in _TYPES for t in given)
    if key == "properties":
        return type(value) is dict and all(_is_schema(v, depth, parts) for v in value.values())
    if key == "items":
        return _is_schema(value, depth, parts)
    if key == "anyOf":
        return type(value) is list and bool(value) and all(_is_schema(v, depth, parts) for v in value)
    if key == "required":
        return type(value) is list and all(type(v) is str for v in value)
    if key == "enum":
        return type(value) is list and bool(value) and all(type(v) in (str, int, float, bool) for v in value)
    if key in _TEXTS:
        return type(value) is str
    if key in _NUMBERS:
        return type(value) in (int, float)
    return key == "additionalProperties" and type(value) is bool
