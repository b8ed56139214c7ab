"""Reading the JSON object in a model's reply, with what models do to JSON.

The package json-repair was tried: it takes seconds for hostile texts of 10 kB (quadratic), recurses without bound, and
gives an object for replies that were cut off, whose last value is then wrong. So this is a small reader of its own:
one pass that writes the text as strict JSON, then the standard library. Time grows with the length of the text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from typing import Any

from w4s_gym.sandbox.inside import fences
from w4s_gym.sandbox.inside.thoughts import without_thoughts

MAX_REPLY_CHARS = 200_000
"""Of a longer reply the end is read."""

_MOST_OBJECTS = 20
_LONGEST_INTEGER = 4_000
_JSON = frozenset(("", "json", "json5", "jsonc", "javascript", "js", "python"))
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BACKSLASH = re.compile(r"\\(?:u[0-9a-fA-F]{4}|(?P<word>[A-Za-z]{1,30})|(?P<sign>.))", re.DOTALL)
_BACKSPACE_AND_FORM_FEED_WORDS = tuple(
    "frac forall fbox flat frown beta boxed bar binom begin big bmod bot bullet because bf bold backslash".split()
)
_NEWLINE_WORDS = frozenset(
    ("nabla", "neq", "neg", "notin", "nexists", "nsubseteq", "nmid", "ngeq", "nleq", "nparallel")
)
_TAB_WORDS = frozenset(
    "times text textbf textit textrm texttt textsf theta tau tfrac triangle therefore tilde tanh tbinom".split()
)
_RETURN_WORDS = frozenset("right rightarrow rangle rho rceil rfloor rm rvert".split())
_WORDS_IN_LATEX = frozenset("ne ni nu not to top tan".split())
"""Commands that are also an escape and a word of ordinary text: read as LaTeX where the text shows other LaTeX."""
_LATEX = re.compile(r"\$|[\^_]\{|\\[fb][a-z]{2}|\\[ac-eg-mo-qsv-zA-Z({\[,;!%]")
_ESCAPED_LATEX = re.compile(r"\\\\[A-Za-z]")
_CODE = re.compile(r"\bdef \w|\bimport \w|\breturn\b|\bprint\(")
_BRACE = re.compile(r'\\.|["{}]', re.DOTALL)
_BARE = re.compile(r'(?<!\\)"')
_TOKEN = re.compile(
    r"(?P<space>\s++|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?|#[^\n]*+)|[{}\[\],:]|\"\"\"|'''|\"|'|[^\s{}\[\],:\"'/#]++|/"
)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*+)(?:\.\d++)?(?:[eE][-+]?\d++)?|-?Infinity|NaN")
_CONSTANTS = {"True": "true", "False": "false", "None": "null", "true": "true", "false": "false", "null": "null"}
_STOPS = {quote: re.compile(r"\\.|" + quote, re.DOTALL) for quote in ('"', "'", '"""', "'''")}
_AFTER = re.compile(r"\s*+(?:(?P<end>$|[}\]:])|,\s*+(?P<next>$|[\"'}\]\w{\[-]))")


def parse_json_object(text: str, keys: Collection[str] = ()) -> dict[str, Any] | None:
    """Return the JSON object in a reply, or None. Never raises.

    Read are: thoughts in front, prose and braces around, fences, trailing commas, single quotes, Python's constants,
    comments, raw line breaks, unescaped quotes inside texts, single backslashes of LaTeX. Numbers that JSON cannot
    hold (`1e999`, `NaN`, thousands of digits) become texts. An object that was cut off is none: its last value is not
    what the model wanted to say.

    Args:
        text: the reply.
        keys: keys that the object should have; of several objects the last one that has them counts.
    """
    text = without_thoughts(text[-MAX_REPLY_CHARS:]).strip()
    best: dict[str, Any] | None = None
    for part in _parts(text):
        value = _load(part)
        if not isinstance(value, dict) and (strict := _strict(part)) is not None:
            value = _load(strict)
        if isinstance(value, dict):
            if all(key in value for key in keys):
                return value
            best = value if best is None else best
    return best


def _parts(text: str) -> Iterator[str]:
    """Yield the pieces that may be the object: all, fenced blocks from the last on, outermost braces from the last."""
    if text.startswith("{") and text.endswith("}"):
        yield text
    for block in reversed(fences.blocks(fences.plain_lines(text))[-_MOST_OBJECTS:]):
        if block.language in _JSON and block.source.lstrip().startswith("{"):
            yield block.source.strip()
    yield from reversed(_braces(text))


def _braces(text: str) -> list[str]:
    """Return the last pieces of a text from an opening brace to its closing one, quotes inside them minded."""
    found: list[str] = []
    start = depth = 0
    quoted = False
    for match in _BRACE.finditer(text):
        sign = match[0]
        if depth and sign == '"':
            quoted = not quoted
        elif quoted:
            continue
        elif sign == "{":
            start = start if depth else match.start()
            depth += 1
        elif sign == "}" and depth:
            depth -= 1
            if depth == 0:
                found.append(text[start : match.end()])
    return found[-_MOST_OBJECTS:]


def _load(text: str) -> Any:
    if "\\" in text:
        text = _STRING.sub(_restored, text)
    try:
        return json.loads(text, strict=False, parse_constant=str, parse_float=_finite, parse_int=_integer)
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | str:
    return value if math.isfinite(value := float(text)) else text


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text


def _restored(match: re.Match[str]) -> str:
    """Write the backslashes of one JSON string so that LaTeX keeps them and invalid escapes are no error."""
    string = match[0]
    if "\\" not in string:
        return string
    latex = _LATEX.search(string) is not None and _ESCAPED_LATEX.search(string) is None
    code = not latex and _CODE.search(string) is not None

    def write(found: re.Match[str]) -> str:
        whole, word, sign = found[0], found["word"], found["sign"]
        if sign is not None:
            return whole if sign in '"\\/' else "'" if sign == "'" else "\\" + whole
        if word is None:
            return whole  # \\uXXXX
        first = word[0]
        if first == "u":
            return "\\" + whole
        if first in "bf":
            return "\\" + whole if word.startswith(_BACKSPACE_AND_FORM_FEED_WORDS) and not code else whole
        if first in "nrt":
            command = word in _NEWLINE_WORDS or word in _TAB_WORDS or word in _RETURN_WORDS
            command = command or (latex and word in _WORDS_IN_LATEX)
            return "\\" + whole if command and not code else whole
        return "\\" + whole

    return '"' + _BACKSLASH.sub(write, string[1:-1]) + '"'


def _strict(text: str) -> str | None:
    """Write what models take for JSON as JSON, in one pass over its tokens; None if it does not look like an object."""
    written: list[str] = []
    inside: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        token = match[0]
        if match["space"]:
            position = match.end()
            continue
        if token in "{[":
            inside.append(token)
            written.append(token)
        elif token in "}]":
            if not inside or (inside.pop() == "{") != (token == "}"):
                return None
            if written and written[-1] == ",":
                written.pop()
            written.append(token)
        elif token == ",":
            if written and written[-1] not in (",", "{", "["):
                written.append(token)
        elif token == ":":
            written.append(token)
        elif token in ('"', "'", '"""', "'''"):
            end, content = _quoted(text, match.end(), token, bool(inside) and inside[-1] == "{")
            if end < 0:
                return None
            written.append(content)
            position = end
            continue
        else:
            written.append(_CONSTANTS.get(token) or (token if _NUMBER.fullmatch(token) else json.dumps(token)))
        position = match.end()
        if not inside:
            break
    return "".join(written) if not inside else None


def _quoted(text: str, start: int, quote: str, in_object: bool) -> tuple[int, str]:
    """Read a quoted text: it ends at a quote behind which JSON goes on. Returns the position behind it and JSON."""
    pieces: list[str] = []
    position = start
    for match in _STOPS[quote].finditer(text, start):
        if match[0][0] == "\\":
            continue
        after = _AFTER.match(text, match.end())
        ends = after is not None and (after["end"] is not None or not in_object or after["next"] in ('"', "'", "}"))
        if ends or len(quote) == 3:
            return match.end(), '"' + "".join(pieces) + _escaped(text[position : match.start()]) + '"'
        pieces += [_escaped(text[position : match.start()]), '\\"' if quote == '"' else quote]
        position = match.end()
    return -1, ""


def _escaped(text: str) -> str:
    return _BARE.sub(r'\\"', text)
