"""What a workflow asked on one item and was answered, for those who look at why it failed."""

from __future__ import annotations

from w4s_gym.executors.base import ChatReply, ChatRequest


class Transcript:
    """Collects calls up to a number of characters; what comes later is counted."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` characters; 0 keeps nothing."""
        self._left = limit
        self._parts: list[str] = []
        self._calls = 0
        self._missed = 0

    def add(self, request: ChatRequest, reply: ChatReply) -> None:
        """Add a call and what came back, cut where no room is left."""
        self._calls += 1
        if self._left <= 0:
            self._missed += 1
            return
        asked = "\n".join(f"[{message['role']}] {message['content']}" for message in request.messages)
        answered = "\n".join(f"[reply] {completion.text}" for completion in reply.completions)
        text = f"call {self._calls}\n{asked}\n{answered}\n"
        self._parts.append(text if len(text) <= self._left else f"{text[: self._left]} ... (cut)\n")
        self._left -= len(text)

    @property
    def text(self) -> str:
        """All of it; empty if nothing was kept."""
        more = f"({self._missed} more calls)\n" if self._missed and self._parts else ""
        return "\n".join([*self._parts, more] if more else self._parts)
