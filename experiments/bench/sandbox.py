"""How fast the sandbox is, beside plain threads without isolation: `python experiments/bench/sandbox.py`.

Prints items/s of a trivial workflow, round trips/s, and whole evaluations of 130 items x 5 calls with an executor that
answers at once and with one that takes 200 ms a call and serves 64 calls at a time. Every figure is the best of several
rounds, since other work on the machine can only make it worse; the load average is printed for that reason. The numbers
measure this program on this machine and no model: the executor is a sleep.
"""

from __future__ import annotations

import asyncio
import os
import platform
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import tyro

from w4s_gym.sandbox import Limits, Sandbox, SandboxConfig

TRIVIAL = "def solver(agent, task):\n    return {'answer': task}\n"

FIVE_CALLS = """
def solver(agent, task):
    answers = []
    for _ in range(5):
        reply = agent.call_json_format_llm(messages=[{"role": "user", "content": task}], temperature=0.8,
                                           return_dict_keys=["reasoning", "answer"])
        answers.append(reply[0]["answer"])
    return {"answer": max(set(answers), key=answers.count)}
"""

MANY_CALLS = """
def solver(agent, task):
    for _ in range({count}):
        agent.call_json_format_llm(messages=[{{"role": "user", "content": task}}], return_dict_keys=["answer"])
    return {{"answer": "done"}}
"""

REPLY = [{"reasoning": "The question asks for a number. " * 10, "answer": "42"}]
TASK = "A farmer has 17 sheep and buys 25 more. How many sheep are there now? " * 5


@dataclass(frozen=True)
class Options:
    """What to measure."""

    items: int = 130
    """Items of an evaluation."""
    trivial_items: int = 300
    """Runs of the trivial workflow."""
    round_trips: int = 4000
    """Calls of the round trip measurement."""
    latency: float = 0.2
    """Seconds a call takes in the second half."""
    slots: int = 64
    """Calls the slow executor serves at a time."""
    rounds: int = 3
    """Rounds of each measurement; the best counts."""
    layers: tuple[str, ...] = ("seccomp", "landlock", "namespaces")
    """Layers to use where the machine has them."""


def slow_handler(latency: float, slots: int) -> Callable[[str, Mapping[str, Any]], Awaitable[Any]]:
    """Return a call handler that takes `latency` seconds and serves `slots` calls at a time."""
    semaphore = asyncio.Semaphore(slots)

    async def handler(method: str, args: Mapping[str, Any]) -> Any:
        if latency == 0:
            return REPLY
        async with semaphore:
            await asyncio.sleep(latency)
        return REPLY

    return handler


async def run_all(sandbox: Sandbox, source: str, count: int, latency: float, slots: int) -> float:
    """Run `count` items together; return the seconds it took."""
    handler = slow_handler(latency, slots)
    start = time.perf_counter()
    limits = Limits(calls=10**9)
    runs = (sandbox.run_workflow(source, TASK, handler=handler, limits=limits) for _ in range(count))
    outcomes = await asyncio.gather(*runs)
    seconds = time.perf_counter() - start
    assert all(outcome.status == "ok" for outcome in outcomes), outcomes
    return seconds


class UnsafeAgent:
    """Stands for the agent in threads of this very process, without any isolation."""

    def __init__(self, latency: float, slots: int) -> None:
        """Serve `slots` calls at a time, each in `latency` seconds."""
        self._latency = latency
        self._slots = threading.Semaphore(slots)

    def call_json_format_llm(self, **_: Any) -> Any:
        """Answer like the sandboxed executor."""
        if self._latency:
            with self._slots:
                time.sleep(self._latency)
        return REPLY


def threads(source: str, count: int, latency: float, slots: int) -> float:
    """Run `count` items in threads of this process; return the seconds it took."""
    agent = UnsafeAgent(latency, slots)

    def one(_: int) -> Any:
        namespace: dict[str, Any] = {}
        exec(source, namespace)
        return namespace["solver"](agent, TASK)

    start = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(one, range(count)))
    return time.perf_counter() - start


def best(measure: Callable[[], float], rounds: int) -> float:
    """Return the least of several measurements."""
    return min(measure() for _ in range(rounds))


def line(name: str, value: str, target: str, met: bool | None) -> None:
    """Print one row."""
    verdict = "" if met is None else ("met" if met else "MISSED")
    print(f"{name:<64} {value:>14}   {target:<22} {verdict}")


def main(options: Options) -> None:
    """Measure and print."""
    with Sandbox(SandboxConfig(require="L0", layers=options.layers)) as sandbox:
        start = time.perf_counter()
        report = sandbox.report()
        started = time.perf_counter() - start
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
        print(f"Python {platform.python_version()}, {machine}, level {report.level}")
        print(f"load average at the start: {os.getloadavg()[0]:.1f}\n")
        with asyncio.Runner() as runner:

            def sandboxed(source: str, count: int, latency: float = 0.0) -> Callable[[], float]:
                return lambda: runner.run(run_all(sandbox, source, count, latency, options.slots))

            line("start and probing of the isolation, once", f"{started:.2f} s", "", None)
            seconds = best(sandboxed(TRIVIAL, options.trivial_items), options.rounds)
            rate = options.trivial_items / seconds
            line("trivial workflow", f"{rate:.0f} items/s", ">= 200 items/s", rate >= 200)
            for children in (1, 16):
                source = MANY_CALLS.format(count=options.round_trips // children)
                seconds = best(sandboxed(source, children), options.rounds)
                rate = options.round_trips / seconds
                target = (">= 10000 /s", rate >= 10_000) if children > 1 else ("", None)
                line(f"round trips of {children} workflow{'s' * (children > 1)}", f"{rate:.0f} /s", *target)
            name = f"{options.items} items x 5 calls"
            seconds = best(sandboxed(FIVE_CALLS, options.items), options.rounds)
            unsafe = best(lambda: threads(FIVE_CALLS, options.items, 0.0, options.slots), options.rounds)
            line(f"{name}, no latency, sandbox", f"{seconds:.3f} s", "< 1.0 s", seconds < 1.0)
            line(f"{name}, no latency, unsafe threads", f"{unsafe:.3f} s", "", None)
            seconds = best(sandboxed(FIVE_CALLS, options.items, options.latency), options.rounds)
            unsafe = best(lambda: threads(FIVE_CALLS, options.items, options.latency, options.slots), options.rounds)
            bound = 1.05 * unsafe + 0.5
            name += f", {options.latency * 1000:.0f} ms a call, {options.slots} at a time"
            line(f"{name}, sandbox", f"{seconds:.3f} s", f"<= {bound:.3f} s", seconds <= bound)
            line(f"{name}, unsafe threads", f"{unsafe:.3f} s", "", None)
        print(f"\nload average at the end: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
