"""Taking the thoughts of reasoning models out of their replies. Used on both ends of a channel."""

from __future__ import annotations

import re

_TAG = re.compile(
    r"(?P<opens><(?:think|thinking|thoughts?|reasoning|seed:think)>|\[THINK\]|\u25c1think\u25b7)"
    r"|</(?:think|thinking|thoughts?|reasoning|seed:think)>|\[/THINK\]|\u25c1/think\u25b7",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s*+")
_FINAL = "<|channel|>final<|message|>"
_PROGRAM = re.compile(r"```|~~~|^(?:async[ \t]+)?(?:def|class|import|from)[ \t]", re.MULTILINE)


def without_thoughts(text: str) -> str:
    """Return a reply without the thoughts anywhere in it.

    Read are the tags of the known reasoning models (`<think>`, `<thinking>`, `<thought>`, `<reasoning>`, `[THINK]`) and
    the channels of gpt-oss. Templates often write the opening tag themselves, so all in front of a lone closing tag is
    thoughts too. Of thoughts that never end only the tag goes when nothing stands in front of them.
    """
    text = _final_channel(text)
    kept: list[str] = []
    position, thinking = 0, False
    for match in _TAG.finditer(text):
        if match["opens"] and not thinking:
            kept.append(text[position : match.start()])
        elif not match["opens"] and not thinking:
            kept.clear()
        thinking = bool(match["opens"])
        position = match.end()
    rest = text[position:]
    before = "".join(kept)
    return before if thinking and before.strip() else before + rest


def without_leading_thoughts(text: str) -> str:
    """Return a reply that may hold a program without the thoughts in front: later tags may be text of the program."""
    text = _final_channel(text)
    position = 0
    while True:
        match = _TAG.match(text, _SPACE.match(text, position).end())  # type: ignore[union-attr]
        if match is None:
            break
        if match["opens"]:
            closing = next((m for m in _TAG.finditer(text, match.end()) if not m["opens"]), None)
            if closing is None:
                return text[match.end() :]
            match = closing
        position = match.end()
    if position == 0:  # perhaps the template wrote the opening tag
        first = _TAG.search(text)
        if first is not None and not first["opens"] and not _PROGRAM.search(text, 0, first.start()):
            position = first.end()
    return text[position:]


def only_thoughts(text: str) -> bool:
    """Tell whether nothing stands in a reply but thoughts, which may never have ended."""
    match = _TAG.match(text, _SPACE.match(text).end())  # type: ignore[union-attr]
    ended = match is None or not match["opens"] or any(not m["opens"] for m in _TAG.finditer(text, match.end()))
    return not without_thoughts(text).strip() or not ended


def _final_channel(text: str) -> str:
    return text.rpartition(_FINAL)[2].partition("<|")[0] if _FINAL in text else text
