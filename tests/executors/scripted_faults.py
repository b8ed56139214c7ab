"""Rules by which the fault server answers as real servers do: when what is asked, what comes back.

A rule is plain data. Its conditions, all of which must hold: `text` (a part of the body's JSON), `has` (a feature or
field), `above` and `below` (field -> number; `total` is prompt plus output tokens), `roles` (`system`, `late_system` or
`not_alternating`), and `times` (how often the rule holds at all). Its answer: `status` with `error` (an object or a
text) and `headers`; or of a chat completion `finish`, `content`, `cap` (output tokens) or `body` (all of it).
`{max_tokens}`, `{prompt}`, `{total}` and names of fields in texts stand for the request's numbers.
"""

from __future__ import annotations

import json
from typing import Any

Rule = dict[str, Any]


def matches(rule: Rule, body: dict[str, Any]) -> bool:
    """Tell whether a rule holds for a request."""
    numbers = numbers_of(body)
    roles = [m["role"] for m in body.get("messages", [])]
    rest = roles[1:] if roles[:1] == ["system"] else roles
    shapes = {
        "system": "system" in roles,
        "late_system": "system" in roles[1:],
        "not_alternating": rest != [("user", "assistant")[i % 2] for i in range(len(rest))],
    }
    return (
        rule.get("times", 1) > 0
        and rule.get("text", "") in json.dumps(body)
        and ("has" not in rule or uses(body, rule["has"]))
        and all(numbers.get(name, limit) > limit for name, limit in rule.get("above", {}).items())
        and all(numbers.get(name, limit) < limit for name, limit in rule.get("below", {}).items())
        and shapes.get(rule.get("roles", ""), "roles" not in rule)
    )


def numbers_of(body: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a request; an output limit counts under any of its names."""
    prompt = sum(len(m["content"]) for m in body.get("messages", []))
    most = body.get("max_tokens", body.get("max_completion_tokens", 0))
    return {**body, "max_tokens": most, "prompt": prompt, "total": prompt + most}


def filled(text: Any, body: dict[str, Any]) -> Any:
    """Put the numbers of a request into a text, or into the texts of an object."""
    if isinstance(text, dict):
        return {name: filled(value, body) for name, value in text.items()}
    if not isinstance(text, str):
        return text
    for name, value in numbers_of(body).items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def uses(body: dict[str, Any], name: str) -> bool:
    """Tell whether a body uses a feature."""
    if name in ("json_schema", "json_object"):
        return body.get("response_format", {}).get("type") == name
    return name in body
