"""Whether a source is Python, found out in a process of its own: compiling hostile text can crash or stall Python."""

from __future__ import annotations

from collections import OrderedDict

from w4s_gym.scoring.worker import Workers

LONGEST_SOURCE = 100_000
"""Characters; a longer source counts as no program."""

COMPILE_SECONDS = 5.0
_REMEMBERED = 2_000

_workers = Workers("syntax_worker.py", count=2)
_known: OrderedDict[str, bool] = OrderedDict()


def compiles(source: str) -> bool:
    """Return whether a source compiles; False for one that is too long, takes too long or ends the process.

    Blocks for about a millisecond: call it in a thread where an event loop runs. Nothing is executed.

    Raises:
        SandboxUnavailable: the process does not start.
    """
    if len(source) > LONGEST_SOURCE:
        return False
    known = _known.get(source)
    if known is None:
        known = _known[source] = _workers.ask(source, COMPILE_SECONDS) is True
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
    return known
