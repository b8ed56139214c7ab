"""The text space of actions and observations."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils.shared_memory import create_shared_memory

from w4s_gym.action import format_action

MAX_TEXT = 1_000_000
"""Longest observation or action, in characters."""


class UnicodeText(spaces.Text):
    """Text of any characters. `sample()` draws a valid action: a small random workflow.

    `gymnasium.spaces.Text` accepts only the characters of its charset; prompts and code need all of them.
    """

    def __init__(self, max_length: int = MAX_TEXT, seed: int | np.random.Generator | None = None) -> None:
        """Accept texts of up to `max_length` characters, the empty text included."""
        super().__init__(max_length, min_length=0, seed=seed)

    def contains(self, x: Any) -> bool:
        """Return whether x is a string that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Draw the text of a random valid action."""
        rng = self.np_random
        keys = [["answer"], ["reasoning", "answer"], ["plan", "reasoning", "answer"]][int(rng.integers(3))]
        samples = int(rng.choice([1, 3, 5]))
        temperature = float(rng.choice([0.0, 0.3, 0.8]))
        workflow = (
            "from collections import Counter\n\n\n"
            "def solver(agent, task):\n"
            '    messages = [{"role": "user", "content": task}]\n'
            f"    replies = agent.call_json_format_llm(messages=messages, temperature={temperature},\n"
            f"        num_of_response={samples}, return_dict_keys={keys!r})\n"
            '    votes = Counter(str(reply["answer"]) for reply in replies)\n'
            '    return {"answer": votes.most_common(1)[0][0]}\n'
        )
        return format_action(f"A random workflow with {samples} samples and the keys {', '.join(keys)}.", workflow)

    def __eq__(self, other: object) -> bool:
        """Spaces are equal when they accept the same texts."""
        return isinstance(other, UnicodeText) and other.max_length == self.max_length

    def __repr__(self) -> str:
        return f"UnicodeText(max_length={self.max_length})"


@create_shared_memory.register(UnicodeText)
def _refuse_shared_memory(space: UnicodeText, n: int = 1, ctx: Any = None) -> None:
    """Refuse loudly: with shared memory AsyncVectorEnv would return stale texts for ever, in silence."""
    raise CustomSpaceError(
        "texts cannot live in shared memory; make the vector environment with AsyncVectorEnv(..., shared_memory=False)"
    )
