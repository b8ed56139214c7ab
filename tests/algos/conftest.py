from collections.abc import Callable, Sequence

import pytest

from w4s_gym.algos.policy import Message, Sample
from w4s_gym.algos.seeding import derive_seed


class ScriptedPolicy:
    """Writes what `reply(messages, number)` returns; `number` is a pure function of seed and sample."""

    name = "scripted"

    def __init__(self, reply: Callable[[list[Message], int], str], prompt_style: str = "full") -> None:
        self.prompt_style = prompt_style
        self.chats: list[list[Message]] = []
        self._reply = reply

    def sample(self, conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
        self.chats += [[dict(message) for message in chat] for chat in conversations]
        return [[Sample(self._reply(list(chat), derive_seed(seed, k))) for k in range(m)] for chat in conversations]


@pytest.fixture
def scripted_policy():
    return ScriptedPolicy
