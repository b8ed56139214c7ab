"""Where submitted code failed."""

from __future__ import annotations

FILENAME = "<workflow>"
"""File name of the submitted source in tracebacks."""


class CandidateError(Exception):
    """Base of exceptions that a candidate raised; `line` is the line of its source."""

    line: int | None = None


def failing_line(error: BaseException) -> int | None:
    """Return the innermost line of the submitted source that the exception passed through."""
    if isinstance(error, SyntaxError) and error.filename == FILENAME:
        return error.lineno
    if isinstance(error, CandidateError) and error.line is not None:
        return error.line
    line = None
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_code.co_filename == FILENAME:
            line = tb.tb_lineno
        tb = tb.tb_next
    return line
