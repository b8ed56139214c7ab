"""Which modules every child has at hand, and which sources make do with them."""

from __future__ import annotations

import re
import sys

PRELOAD = (
    "abc array ast bisect cmath collections collections.abc concurrent.futures.thread contextlib copy dataclasses "
    "datetime decimal enum fractions functools heapq importlib.util inspect io itertools json keyword linecache math "
    "numbers operator random re statistics string textwrap threading time traceback types typing unicodedata warnings"
).split()
"""Standard modules that are imported before the first fork, so that no child that uses them pays for it. Every megabyte
here costs every child about 0.05 ms, used or not."""

_AT_HAND = {name.partition(".")[0] for name in PRELOAD} - {"concurrent", "importlib"}
_AT_HAND |= {"__future__", "os", *sys.builtin_module_names}
_LOADS = re.compile(r"import|(?:en|de)code\(")
_STATEMENT = re.compile(r"\s*(?:from\s+(\w+)(?:\.\w+)*\s+import\s[^;]*|import\s+(\w+)(?:\s+as\s+\w+)?\s*(?:#.*)?)")


def suffices(*sources: str) -> bool:
    """Whether sources need nothing but the preloaded modules, as far as their text shows.

    The text is not parsed: that is not safe in the host. A line that mentions an import in another form than a plain
    statement counts as one that needs more, and so does a text encoding, for which Python loads a module.
    """
    lines = (line for source in sources if _LOADS.search(source) for line in source.splitlines() if _LOADS.search(line))
    found = (_STATEMENT.fullmatch(line) for line in lines)
    return all(match is not None and (match[1] or match[2]) in _AT_HAND for match in found)
