"""Tokens per second that reach a real local model: a whole evaluation against the bare server, in one run.

    python experiments/bench/real_evaluation.py                             # the 1.5B model, if its file is at hand
    python experiments/bench/real_evaluation.py --executor local:smollm2-135m

An evaluation of `candidates` workflows on `items` items (sandbox, ledger, executor, grading) is measured; then the very
same requests are posted to the bare server, which has just started again with the same settings, by one connection per
slot. They take turns `repeats` times and the medians are compared. Tokens are those that the server reports: prompt and
reply.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import tyro

from w4s_gym.benchmark import get_benchmark
from w4s_gym.episode import Episode
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors.base import ChatReply, ChatRequest
from w4s_gym.executors.body import body, sample_seed
from w4s_gym.executors.dialect import Dialect
from w4s_gym.executors.local import LocalExecutor
from w4s_gym.ledger import Ledger
from w4s_gym.sandbox import Sandbox

GOAL = 0.9
_WORKFLOW = '''
def solver(agent, task):
    """Candidate {number}."""
    reply = agent.call_llm(
        messages=[{{"role": "user", "content": "Question: " + task + "\\nThink step by step, then give the number."}}],
        temperature=0.0, max_completion_tokens={tokens}
    )[0]
    return {{"answer": reply}}
'''


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    executor: str = "local:qwen2.5-coder-1.5b"
    """A local model."""
    benchmark: str = "GSMSymbolic"
    """Where the items come from."""
    candidates: int = 2
    """Workflows evaluated together."""
    items: int = 8
    """Items of each."""
    tokens: int = 96
    """Most tokens of a reply."""
    slots: int = 1
    """Requests that the server decodes together."""
    threads: int = 2
    """Threads of the server."""
    reuse_prompts: bool = False
    """Whether the server starts from what it has read before."""
    engine: str = "llama.cpp"
    """What serves the model."""
    repeats: int = 2
    """Turns of each."""


class Noting:
    """Hands requests on to a local executor and keeps them."""

    simulated = False

    def __init__(self, inner: LocalExecutor) -> None:
        self.name = inner.name
        self.inner = inner
        self.requests: list[ChatRequest] = []
        self.tokens = 0

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Answer one request."""
        reply = await self.inner.complete(request)
        self.requests.append(request)
        self.tokens += reply.usage.tokens
        return reply

    async def close(self) -> None:
        """Stop the server."""
        await self.inner.close()


def make(options: Options) -> LocalExecutor:
    """Make the executor; its server is not running."""
    config = {
        "parallel": options.slots,
        "threads": options.threads,
        "reuse_prompts": options.reuse_prompts,
        "reply_tokens": options.tokens,
        "engine": options.engine,
    }
    return LocalExecutor(options.executor, config)


async def warm(executor: LocalExecutor) -> None:
    """Start the server; neither side's seconds hold that."""
    await executor.complete(ChatRequest(messages=({"role": "user", "content": "hi"},), max_tokens=1))


async def evaluate(options: Options, sandbox: Sandbox) -> tuple[float, float, list[ChatRequest]]:
    """Measure the evaluation; return tokens per second, seconds and the requests."""
    executor = Noting(make(options))
    await warm(executor.inner)
    benchmark = get_benchmark(options.benchmark)
    evaluator = Evaluator(benchmark, executor, sandbox, EvaluationLimits())
    workflows = [_WORKFLOW.format(number=number, tokens=options.tokens) for number in range(options.candidates)]
    started = time.monotonic()
    results = await evaluator.evaluate_many(workflows, benchmark.load()[: options.items], Episode(0, Ledger("run")))
    seconds = time.monotonic() - started
    await executor.close()
    if any(isinstance(result, Exception) for result in results):
        raise RuntimeError(f"expected evaluations; got {results}")
    return executor.tokens / seconds, seconds, executor.requests


async def post_bare(options: Options, requests: Sequence[ChatRequest]) -> tuple[float, float]:
    """Post the same bodies from one thread per slot; return tokens per second and seconds."""
    executor = make(options)
    await warm(executor)
    dialect = Dialect({"n": False})
    bodies = [body(r, dialect.wording(r), sample_seed(r, r.sample_index, 0)) for r in requests]

    async def ask_all(url: str) -> tuple[float, float]:
        started = time.monotonic()
        with ThreadPoolExecutor(options.slots) as threads:
            tokens = await asyncio.to_thread(lambda: sum(threads.map(lambda written: post(url, written), bodies)))
        seconds = time.monotonic() - started
        return tokens / seconds, seconds

    measured = await executor._server.use(ask_all)
    await executor.close()
    return measured


def post(url: str, written: Mapping[str, Any]) -> int:
    """Post one body; return the tokens that the server reports."""
    data = json.dumps({"model": "local", **written}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", data, {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as response:
        return int(json.load(response)["usage"]["total_tokens"])


async def measure(options: Options) -> int:
    """Print the figures; return 1 if the ratio misses the goal."""
    through: list[float] = []
    bare: list[float] = []
    with Sandbox() as sandbox:
        sandbox.report()  # starts it
        for _ in range(options.repeats):
            speed, seconds, requests = await evaluate(options, sandbox)
            through.append(speed)
            print(f"evaluation: {len(requests)} requests in {seconds:.1f} s = {speed:.1f} tokens/s", flush=True)
            speed, seconds = await post_bare(options, requests)
            bare.append(speed)
            print(f"bare server: the same requests in {seconds:.1f} s = {speed:.1f} tokens/s", flush=True)
    ratio = statistics.median(through) / statistics.median(bare)
    told = "at or above" if ratio >= GOAL else "BELOW"
    print(f"{options.executor}, {options.slots} slots: ratio {ratio:.2f}: {told} the goal of {GOAL:g}")
    return int(ratio < GOAL)


if __name__ == "__main__":
    raise SystemExit(asyncio.run(measure(tyro.cli(Options, description=__doc__))))
