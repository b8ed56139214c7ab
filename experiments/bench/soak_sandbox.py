"""Endurance of the sandbox: many items, honest and hostile ones mixed, round after round.

`python experiments/bench/soak_sandbox.py` runs the honest items alone, then three times 10,000 items of which one in
ten is hostile, and checks that the honest results are the same, that no process or descriptor is left, and that neither
the host nor the zygotes grow. Prints a table; the exit code is 1 if something is not as it should be.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import tyro

from w4s_gym.sandbox import Charged, Limits, RunOutcome, Sandbox, SandboxConfig, WorkflowCallError
from w4s_gym.shares import working_for

HONEST = {
    "answers at once": "def solver(agent, task):\n    return {'answer': str(int(task) * 7)}\n",
    "three calls": """
def solver(agent, task):
    replies = [agent.call_llm(messages=[{"role": "user", "content": f"{task} {i}"}])[0] for i in range(3)]
    return {"answer": max(replies)}
""",
    "votes in threads": """
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
def solver(agent, task):
    def ask(i):
        return agent.call_llm(messages=[{"role": "user", "content": f"{task} {i % 3}"}])[0]
    with ThreadPoolExecutor(8) as pool:
        return {"answer": Counter(pool.map(ask, range(8))).most_common(1)[0][0]}
""",
    "runs a program": """
def solver(agent, task):
    return {"answer": str(agent.execute_code(f"def solution():\\n    return sum(range({task}))"))}
""",
    "computes and is random": """
import random, statistics
def solver(agent, task):
    draws = [random.random() for _ in range(2000)]
    return {"answer": f"{statistics.mean(draws):.12f}"}
""",
    "fails": "def solver(agent, task):\n    return {'answer': [][int(task)]}\n",
}

_FRAME = (
    "import json, os\ndef frame(kind, body):\n    os.write(3, bytes([kind]) + len(body).to_bytes(4, 'big') + body)\n"
)
HOSTILE = {
    "leaves": "import os\nos._exit(3)",
    "crashes": "import ctypes\ndef solver(agent, task):\n    ctypes.string_at(0)\n",
    "computes without end": "def solver(agent, task):\n    while True:\n        pass\n",
    "sleeps": "import time\ndef solver(agent, task):\n    time.sleep(600)\n",
    "hoards memory": """
def solver(agent, task):
    hoard = []
    while True:
        hoard.append(bytearray(10**7))
""",
    "hoards memory and waits": """
def solver(agent, task):
    hoard = bytearray(60_000_000)
    agent.call_llm(messages=[{"role": "user", "content": "slow"}])
    return {"answer": len(hoard)}
""",
    "threads": """
import threading, time
def solver(agent, task):
    try:
        while True:
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    except RuntimeError:
        return {"answer": "x"}
""",
    "computes while a call is pending": """
import threading
def burn():
    while True:
        pass
def solver(agent, task):
    threading.Thread(target=burn, daemon=True).start()
    agent.call_llm(messages=[{"role": "user", "content": "slow"}])
    return {"answer": "x"}
""",
    "calls after the budget": """
def solver(agent, task):
    while True:
        try:
            agent.call_llm(messages=[{"role": "user", "content": "refuse"}])
        except Exception:
            pass
""",
    "does not read replies": _FRAME
    + """
def solver(agent, task):
    for i in range(10**6):
        frame(3, json.dumps({"id": i, "method": "execute_code", "args": {"code": "large", "timeout": 1}}).encode())
""",
    "sends nonsense": _FRAME + "def solver(agent, task):\n    frame(4, os.urandom(50_000))\n    os._exit(0)\n",
    "sends deep nesting": _FRAME + "def solver(agent, task):\n    frame(4, b'[' * 60_000)\n    os._exit(0)\n",
    "sends half a frame": "import os\nos.write(3, b'\\x04\\x00\\x00\\x10\\x00{')\nos._exit(0)\n",
    "large result": "def solver(agent, task):\n    return {'answer': 'x' * 10**7}\n",
    "prints without end": "def solver(agent, task):\n    while True:\n        print('x' * 10_000)\n",
    "forks": "import os\ndef solver(agent, task):\n    while True:\n        os.fork()\n",
    "sleeping programs": """
def solver(agent, task):
    while True:
        try:
            agent.execute_code("import time; time.sleep(600)", timeout=600)
        except Exception:
            pass
""",
    "kills": "import os\ndef solver(agent, task):\n    os.kill(os.getppid(), 9)\n    os.kill(1, 9)\n",
}

_ROW = "{:<12} {:>8} {:>10} {:>12} {:>8} {:>11}"
LIMITS = Limits(cpu_seconds=0.2, wall_seconds=1.0, memory_mb=128)
"""Of hostile items, so that a round takes minutes; honest ones have the usual limits."""


@dataclass(frozen=True)
class Options:
    """What to run."""

    items: int = 10_000
    """Items of a round."""
    rounds: int = 3
    """Rounds with hostile items."""
    hostile_every: int = 10
    """One item in so many is hostile."""
    in_flight: int = 60
    """Items in flight at a time."""
    growth_mb: float = 16.0
    """Most growth of the host's memory and of the zygotes', from the first round to the last."""
    layers: tuple[str, ...] = ("seccomp", "landlock", "namespaces")
    """Layers to use where the machine has them."""


@dataclass(frozen=True)
class State:
    """What must not grow."""

    processes: int
    descriptors: int
    host_mb: float
    zygotes_mb: float


class Soak:
    """One sandbox and what its honest items gave."""

    def __init__(self, sandbox: Sandbox, options: Options) -> None:
        """Use `sandbox`, which has started."""
        self._sandbox = sandbox
        self._options = options

    async def handler(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """Answer as a host does: quickly, slowly, with a refusal, with much, or by running a program."""
        if method == "execute_code":
            if arguments["code"] == "large":
                return "x" * 50_000
            outcome = await self._sandbox.run_program(arguments["code"], limits=LIMITS)
            if outcome.status != "ok":
                raise WorkflowCallError("ProgramFailed", outcome.status, seconds=outcome.wall_seconds)
            return Charged(outcome.value, outcome.wall_seconds)
        text = arguments["messages"][0]["content"]
        if text == "refuse":
            raise WorkflowCallError("BudgetExceeded", "no more", status="budget")
        await asyncio.sleep(0.5 if text == "slow" else 0.01)
        return [f"reply to {text}"]

    async def round(self, hostile: bool) -> tuple[dict[int, str], Counter[str]]:
        """Run one round; return the honest results by item, and how many hostile items ended how."""
        gate = asyncio.Semaphore(self._options.in_flight)
        honest: dict[int, str] = {}
        ends: Counter[str] = Counter()

        async def one(index: int) -> None:
            is_hostile = index % self._options.hostile_every == 0
            if is_hostile and not hostile:
                return
            names = list(HOSTILE if is_hostile else HONEST)
            name = names[index // self._options.hostile_every % len(names)] if is_hostile else names[index % len(names)]
            who = f"hostile {index % 4}" if is_hostile else "honest"
            async with gate:
                with working_for(who):
                    outcome = await self._sandbox.run_workflow(
                        HOSTILE[name] if is_hostile else HONEST[name],
                        str(index),
                        handler=self.handler,
                        seed=index,
                        limits=LIMITS if is_hostile else Limits(),
                    )
            if is_hostile:
                ends[f"{name}: {outcome.status}"] += 1
            else:
                honest[index] = _digest(outcome)

        await asyncio.gather(*(one(i) for i in range(self._options.items)))
        return honest, ends

    def state(self) -> State:
        """Measure, with nothing running."""
        gc.collect()
        own = psutil.Process()
        children = own.children(recursive=True)
        zygotes = sum(child.memory_info().rss for child in children)
        return State(len(children), own.num_fds(), own.memory_info().rss / 2**20, zygotes / 2**20)


def _digest(outcome: RunOutcome) -> str:
    return json.dumps([outcome.status, outcome.value, outcome.error.text() if outcome.error else ""], sort_keys=True)


def main(options: Options) -> int:
    """Run all rounds, print what was seen, and return 1 if something is not as it should be."""
    wrong = []
    with (
        Sandbox(SandboxConfig(require="L0", layers=options.layers, recycle_after=10**9)) as sandbox,
        asyncio.Runner() as runner,
    ):
        level = sandbox.report().level
        share = f"1 in {options.hostile_every} hostile"
        print(f"level {level}, {os.cpu_count()} cores, {options.items} items a round, {share}")
        print(_ROW.format("round", "seconds", "processes", "descriptors", "host MB", "zygotes MB"))
        soak = Soak(sandbox, options)
        expected: dict[int, str] = {}
        states = []
        ends: Counter[str] = Counter()
        for number in range(options.rounds + 1):
            start = time.perf_counter()
            honest, hostile = runner.run(soak.round(hostile=number > 0))
            seconds = time.perf_counter() - start
            states.append(soak.state())
            s = states[-1]
            name = "honest only" if number == 0 else f"mixed {number}"
            memory = (f"{s.host_mb:.1f}", f"{s.zygotes_mb:.1f}")
            print(_ROW.format(name, f"{seconds:.1f}", s.processes, s.descriptors, *memory), flush=True)
            ends += hostile
            expected = expected or honest
            if honest != expected:
                differing = [i for i in expected if honest.get(i) != expected[i]]
                first = differing[0]
                wrong.append(f"{len(differing)} honest results differ, first {expected[first]} -> {honest.get(first)}")
        first, last = states[1], states[-1]
        if last.processes > first.processes or last.descriptors > first.descriptors:
            wrong.append("processes or descriptors were left")
        if max(last.host_mb - first.host_mb, last.zygotes_mb - first.zygotes_mb) > options.growth_mb:
            wrong.append(f"memory grew by more than {options.growth_mb} MB")
    if any(end.endswith(": infrastructure") for end in ends):
        wrong.append("hostile items ended as the host's fault")
    if psutil.Process().children(recursive=True):
        wrong.append("processes outlived the sandbox")
    same = "DIFFERENT" if any("differ" in w for w in wrong) else "identical"
    print(f"\nhonest results: {len(expected)} a round, {same}")
    print("hostile items ended as\n" + "\n".join(f"  {end:<50} {count}" for end, count in sorted(ends.items())))
    print("\n" + ("\n".join(f"WRONG: {w}" for w in wrong) if wrong else "all as it should be"))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
