"""Process that says whether sources compile: a JSON text a line in, `true` or `false` out. Nothing is executed.

Started by `w4s_gym.scoring.syntax` as a script; imports nothing of this package.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings

_MEMORY_BYTES = 1024**3


def main() -> None:
    """Serve until standard input closes."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        replies.write(json.dumps(_compiles(json.loads(line))) + "\n")
        replies.flush()


def _compiles(source: str) -> bool:
    try:
        compile(source, "<source>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


if __name__ == "__main__":
    main()
