"""Tokens, dollars and seconds of a simulated call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp

from w4s_gym.executors.simulation.noise import Stream
from w4s_gym.executors.simulation.profile import Latency, Price

BYTES_PER_TOKEN = 4
"""UTF-8 bytes of one token: about right for English; other scripts cost more, as with tokenizers."""
_TOKENS_PER_MESSAGE = 4


def count_tokens(text: str) -> int:
    """Estimate the number of tokens of a text."""
    return (len(text.encode("utf-8", "surrogatepass")) + BYTES_PER_TOKEN - 1) // BYTES_PER_TOKEN


def count_prompt_tokens(messages: Sequence[Mapping[str, str]]) -> int:
    """Estimate the number of tokens of a prompt, with a constant per message for the chat template."""
    return sum(count_tokens(m["content"]) + _TOKENS_PER_MESSAGE for m in messages)


def dollars(price: Price, prompt_tokens: int, completion_tokens: int) -> float:
    """Return the price of a call."""
    return (prompt_tokens * price.prompt_per_million + completion_tokens * price.completion_per_million) / 1e6


def seconds(latency: Latency, prompt_tokens: int, completion_tokens: int, stream: Stream) -> float:
    """Return the modelled time of a call: first token, reading, writing, and a log-normal factor for the server's load.

    Args:
        latency: the profile's speeds.
        prompt_tokens: length of the prompt.
        completion_tokens: length of the longest sample (samples of one call are written side by side).
        stream: randomness of this call.
    """
    reading = prompt_tokens / latency.prompt_tokens_per_second
    writing = completion_tokens / latency.tokens_per_second
    return (latency.first_token_seconds + reading + writing) * exp(latency.spread * stream.normal())
