"""What a meta-agent writes in a cell: texts, tokens, seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from w4s_gym.algos.policies.base import Policy, Sample
from w4s_gym.messages import Message


@dataclass(frozen=True)
class Written:
    """What a meta-agent wrote."""

    texts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    """Wall clock of sampling."""

    def record(self) -> dict[str, int]:
        """Return all but the seconds: what is the same in every run."""
        return {
            "texts": self.texts,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }


class Meter:
    """Counts what a policy writes."""

    def __init__(self) -> None:
        self.written = Written()

    def attach(self, policy: Policy) -> None:
        """Count all that this policy writes from now on."""
        sample = policy.sample

        def counted(conversations: Sequence[Sequence[Message]], m: int, seed: int) -> list[list[Sample]]:
            start = time.monotonic()
            samples = sample(conversations, m, seed)
            before, flat = self.written, [one for some in samples for one in some]
            self.written = Written(
                before.texts + len(flat),
                before.prompt_tokens + sum(one.prompt_tokens for one in flat),
                before.completion_tokens + sum(one.completion_tokens for one in flat),
                before.seconds + time.monotonic() - start,
            )
            return samples

        # The object itself stays: learners ask whether it is one that they can train.
        object.__setattr__(policy, "sample", counted)
