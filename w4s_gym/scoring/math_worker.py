"""Process that compares mathematical expressions: a JSON pair a line in, `true` or `false` out.

Started by `w4s_gym.scoring.math` as a script; imports nothing of this package.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys

_MEMORY_BYTES = 2 * 1024**3
_LARGEST_INTEGER_DIGITS = 5_000


def main() -> None:
    """Serve until standard input closes."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    logging.disable(logging.CRITICAL)
    sys.set_int_max_str_digits(_LARGEST_INTEGER_DIGITS)

    from math_verify import LatexExtractionConfig, parse, verify

    # Only LaTeX: the library's other parser evaluates text as Python.
    config = [LatexExtractionConfig()]
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        gold, answer = (
            parse(f"\\boxed{{{text}}}", extraction_config=config, parsing_timeout=None) for text in json.loads(line)
        )
        equal = verify(gold, answer, timeout_seconds=None)
        replies.write(json.dumps(bool(equal)) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
