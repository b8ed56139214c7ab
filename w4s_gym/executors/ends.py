"""Where an endpoint ends replies for good: at the end of its context window, or at its own cap on a reply."""

from __future__ import annotations

from w4s_gym.executors.replies import Answer

_SMALLEST_WINDOW = 512
_SMALLEST_CAP = 64


class Ends:
    """Tells replies that were cut by accident, which are asked for again, from those that ended where all end."""

    def __init__(self, window: int | None) -> None:
        """Start from the context window, in tokens, if it is known."""
        self._window = window
        self._cap: int | None = None

    def cut(self, answer: Answer, max_tokens: int) -> bool:
        """Tell whether the server stopped a sample before the token limit and before any place where replies end."""
        written = answer.completion_tokens
        if not answer.metered or written >= max_tokens:
            return False
        stopped = sum(c.finish_reason == "length" for c in answer.completions)
        if not stopped or (self._cap is not None and written >= self._cap * stopped):
            return False
        return answer.prompt_tokens + written != self._window

    def learn(self, answer: Answer) -> bool:
        """Note that a reply was cut twice at the same place; return whether that is one where all replies end."""
        total = answer.prompt_tokens + answer.completion_tokens
        if total >= _SMALLEST_WINDOW:
            self._window = total
        if answer.completion_tokens >= _SMALLEST_CAP:
            # One of the two it is, and the other does no harm: hardly another accident happens just there.
            self._cap = answer.completion_tokens
        return total >= _SMALLEST_WINDOW or answer.completion_tokens >= _SMALLEST_CAP
