"""Process that grades with a function it is sent: a JSON object a line in, one out.

Started by `w4s_gym.scoring.grading` as a script; imports nothing of this package but what the function does.
"""

from __future__ import annotations

import base64
import functools
import json
import os
import pickle
import signal
import sys
from typing import Any, SupportsFloat


def main() -> None:
    """Serve until standard input closes."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a grader prints must not look like a reply
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        replies.write(json.dumps(_serve(json.loads(line))) + "\n")
        replies.flush()


def _serve(request: dict[str, Any]) -> dict[str, Any]:
    sys.path[:] = request["path"]
    try:
        score, gold = _loaded(request["score"]), _loaded(request["gold"])
    except BaseException as error:
        return {"not_loaded": f"{type(error).__name__}: {error}"}
    signal.setitimer(signal.ITIMER_PROF, request["cpu_seconds"])  # nobody handles its signal: it ends the process
    try:
        value = score(gold, request["answer"])
        return {"score": float(value) if isinstance(value, SupportsFloat) else repr(value)[:80]}
    except BaseException as error:
        return {"error": [type(error).__name__, str(error)[:1000]]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


@functools.lru_cache(maxsize=256)
def _loaded(text: str) -> Any:
    return pickle.loads(base64.b64decode(text))


if __name__ == "__main__":
    main()
