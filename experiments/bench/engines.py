"""Tokens per second of OpenVINO against llama.cpp, serving the same local model, in one run.

    python experiments/bench/engines.py                                            # the 1.5B model
    python experiments/bench/engines.py --executor local:smollm2-135m --tokens 64

Each engine answers the same questions with the same number of slots; they take turns `repeats` times and the medians
are compared. Starting a server is in neither side's seconds.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

import tyro

from w4s_gym.benchmark import get_benchmark
from w4s_gym.executors.base import ChatRequest
from w4s_gym.executors.local import LocalExecutor
from w4s_gym.executors.model_process import ENGINES


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    executor: str = "local:qwen2.5-coder-1.5b"
    """A local model."""
    benchmark: str = "GSMSymbolic"
    """Where the questions come from."""
    items: int = 32
    """Questions."""
    tokens: int = 200
    """Most tokens of a reply."""
    slots: int = 32
    """Requests decoded together."""
    threads: int = 2
    """Threads of a server."""
    repeats: int = 2
    """Turns of each engine."""


async def measure(options: Options, engine: str) -> float:
    """Return the tokens per second, prompts and replies, of one engine."""
    config = {"engine": engine, "parallel": options.slots, "threads": options.threads, "context": 2048}
    executor = LocalExecutor(options.executor, config)
    items = get_benchmark(options.benchmark).load()[: options.items]
    requests = [
        ChatRequest(
            messages=({"role": "user", "content": f"{item.task}\nThink step by step."},),
            temperature=0.0,
            max_tokens=options.tokens,
        )
        for item in items
    ]
    try:
        await executor.complete(ChatRequest(messages=({"role": "user", "content": "hi"},), max_tokens=1))
        started = time.monotonic()
        replies = await asyncio.gather(*(executor.complete(request) for request in requests))
        seconds = time.monotonic() - started
    finally:
        await executor.close()
    speed = sum(reply.usage.tokens for reply in replies) / seconds
    print(f"{engine}: {len(requests)} requests in {seconds:.1f} s = {speed:.1f} tokens/s", flush=True)
    return speed


async def compare(options: Options) -> None:
    """Print the figures and their ratio."""
    speeds: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    for _ in range(options.repeats):
        for engine, measured in speeds.items():
            measured.append(await measure(options, engine))
    llama, openvino = (statistics.median(speeds[engine]) for engine in ("llama.cpp", "openvino"))
    print(f"{options.executor}, {options.slots} slots: OpenVINO / llama.cpp = {openvino / llama:.2f}")


if __name__ == "__main__":
    asyncio.run(compare(tyro.cli(Options, description=__doc__)))
