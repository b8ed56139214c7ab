"""Process that compares mathematical expressions: a JSON list a line in, `true`, `false` or `null` (gave up) out.

Each comparison runs in a fork that the kernel ends after its share of CPU time, so that a hostile expression costs
neither the seconds that loading sympy takes nor more than its share, however busy the machine is.

Started by `w4s_gym.scoring.math` as a script; imports nothing of this package.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys

_MEMORY_BYTES = 2 * 1024**3
_LARGEST_INTEGER_DIGITS = 5_000


def main() -> None:
    """Serve until standard input closes."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not look like a reply
    logging.disable(logging.CRITICAL)
    sys.set_int_max_str_digits(_LARGEST_INTEGER_DIGITS)

    import gc

    from math_verify import parse, verify

    verify(parse("$1$", parsing_timeout=None), parse("$2$", parsing_timeout=None), timeout_seconds=None)  # imports more
    gc.freeze()
    replies.write("ready\n")
    replies.flush()
    for line in sys.stdin:
        gold, answer, cpu_seconds = json.loads(line)
        replies.write(json.dumps(_compare(gold, answer, cpu_seconds)) + "\n")
        replies.flush()


def _compare(gold: str, answer: str, cpu_seconds: float) -> bool | None:
    """Compare in a fork; None if it used up its time or memory, or crashed."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # nobody handles its signal: it ends the process
            code = int(_equal(gold, answer))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return {0: False, 1: True}.get(os.waitstatus_to_exitcode(status))


def _equal(gold: str, answer: str) -> bool:
    from math_verify import LatexExtractionConfig, parse, verify

    # Only LaTeX: the library's other parser evaluates text as Python.
    config = [LatexExtractionConfig()]
    values = [parse(f"\\boxed{{{text}}}", extraction_config=config, parsing_timeout=None) for text in (gold, answer)]
    return bool(verify(*values, timeout_seconds=None))


if __name__ == "__main__":
    main()
