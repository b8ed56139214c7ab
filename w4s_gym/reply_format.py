"""The `response_format` of `call_llm`: the published style and that of OpenAI's API."""

from __future__ import annotations

import json
from typing import Any

from w4s_gym.sandbox.types import WorkflowCallError


def reply_format(wanted: Any) -> tuple[tuple[str, ...], bool, str]:
    """Read `response_format`: "text", "json" (published style), or what OpenAI's API takes.

    A JSON schema whose properties are all strings is enforced by key; another one is told to the model in words, since
    few endpoints enforce all of JSON Schema.

    Returns:
        keys of the reply, whether it is JSON at all, and a sentence for the system prompt.

    Raises:
        WorkflowCallError: no such format.
    """
    kind = wanted.get("type") if isinstance(wanted, dict) else wanted
    if kind in ("text", "", None) and (not isinstance(wanted, dict) or kind == "text"):
        return (), False, ""
    if kind in ("json", "json_object"):
        return (), True, "Reply with one JSON object."
    schema = wanted.get("json_schema") if isinstance(wanted, dict) and kind == "json_schema" else None
    schema = schema.get("schema", schema) if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise WorkflowCallError(
            "ValueError",
            "response_format must be 'text', 'json', {'type': 'json_object'} or {'type': 'json_schema', 'json_schema': "
            f"{{'schema': {{'type': 'object', ...}}}}}}; got {wanted!r:.200}",
        )
    properties = schema.get("properties")
    told = f"Reply with one JSON object that fits this JSON schema: {json.dumps(schema, ensure_ascii=False)}"
    texts = isinstance(properties, dict) and all(
        isinstance(p, dict) and p.get("type") == "string" and not set(p) - {"type", "description", "title"}
        for p in properties.values()
    )
    return (tuple(properties) if texts and properties else ()), True, told
