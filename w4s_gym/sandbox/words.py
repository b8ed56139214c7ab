"""Putting the end of a run into words a meta-agent can use."""

from __future__ import annotations

from typing import Any

from w4s_gym.sandbox.ending import Ending
from w4s_gym.sandbox.types import ErrorReport

MESSAGE_CHARACTERS = 500
LINE_CHARACTERS = 200
OUTPUT_CHARACTERS = 16_000


def tail(result: dict[str, Any] | None) -> str:
    """Return what a run printed, as its result frame says."""
    text = (result or {}).get("output")
    return text[-OUTPUT_CHARACTERS:] if type(text) is str else ""


def report_error(ending: Ending, source: str) -> ErrorReport:
    """Describe why a run failed, with the line of `source` if the child named one.

    The child's words are taken for the message only; the text of the line comes from the host's own copy.
    """
    said = (ending.result or {}).get("error")
    said = said if type(said) is dict else {}
    kind, message, line = said.get("kind"), said.get("message"), said.get("line")
    if ending.detail or type(kind) is not str or type(message) is not str:
        kind, message = ending.status, ending.detail
        if ending.status == "infrastructure" and ending.error is not None:
            kind = type(ending.error).__name__
    text = ""
    if type(line) is int and not isinstance(line, bool) and line > 0:
        lines = source.splitlines()
        text = lines[line - 1].strip()[:LINE_CHARACTERS] if line <= len(lines) else ""
    else:
        line = None
    return ErrorReport(kind[:100], message[:MESSAGE_CHARACTERS], line, text)
