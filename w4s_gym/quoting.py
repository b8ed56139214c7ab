"""Showing texts of models and of submitted code so that they cannot be taken for the environment's own words."""

from __future__ import annotations

import re

_CONTROL = re.compile(
    r"<(?=[|\uff5c]|/?(?:s|bos|eos|pad|unk|mask|sep|cls|start_of_turn|end_of_turn|im_start|im_end|endoftext"
    r"|think|thinking|tool_call|tool_response|tools)>)|\[(?=/?(?:INST|SYS|THINK|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])",
    re.IGNORECASE,
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}


def one_line(text: str, limit: int = 500) -> str:
    """Return a text as one printable line that no chat template and no terminal acts on.

    Line breaks and everything that is not printable become escapes, and tokens of chat templates (`<|im_end|>`,
    `</s>`, `[INST]`) get a space behind their bracket. Ordinary lines stay as they are.

    Args:
        text: the text.
        limit: most characters of it that are shown.
    """
    text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escape(c) for c in text)
    text = _CONTROL.sub(lambda match: f"{match[0]} ", text)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def printable(text: str) -> str:
    """Return a text of several lines in which everything that is not printable is an escape, for terminals."""
    return "\n".join(
        line if line.isprintable() else "".join(c if c.isprintable() or c == "\t" else _escape(c) for c in line)
        for line in text.split("\n")
    )


def quoted(text: str, limit: int = 500) -> str:
    """Return a text as `one_line`, in quotes: where it ends is plain to see."""
    return '"' + one_line(text, limit).replace('"', '\\"') + '"'


def _escape(character: str) -> str:
    code = ord(character)
    return _SHORT.get(character) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )
