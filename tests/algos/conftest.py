from collections.abc import Callable, Sequence

import pytest

from w4s_gym.algos.policies.base import Sample
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.messages import Message


class ScriptedPolicy:
    """Writes what `reply(messages, number)` returns; `number` is a pure function of seed, place and sample."""

    name = "scripted"

    def __init__(self, reply: Callable[[list[Message], int], str], prompt_style: str = "full") -> None:
        self.prompt_style = prompt_style
        self.calls = 0
        self.chats: list[list[Message]] = []
        self._reply = reply

    def sample(self, conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
        self.calls += 1
        self.chats += [[dict(message) for message in chat] for chat in conversations]
        return [
            [Sample(self._reply(list(chat), derive_seed(seed, place, k))) for k in range(m)]
            for place, chat in enumerate(conversations)
        ]


@pytest.fixture
def scripted_policy():
    return ScriptedPolicy
