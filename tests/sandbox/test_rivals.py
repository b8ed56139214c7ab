"""What one workflow can do to its rivals and to the host, at every level; run as an ordinary user by test_hostile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from w4s_gym.sandbox import Charged, Limits, RunEnded, RunOutcome, Sandbox, SandboxConfig, TestJob
from w4s_gym.sandbox.child import MAX_PENDING_CALLS
from w4s_gym.shares import working_for

TRIVIAL = "def solver(agent, task):\n    return {'answer': task}\n"
SLEEP = "import time\ndef solver(agent, task):\n    time.sleep(2.5)\n    return {'answer': task}\n"
BURN = "def solver(agent, task):\n    while True:\n        pass\n"
BURN_IN_A_CALL = """
import threading
def burn():
    while True:
        pass
def solver(agent, task):
    threading.Thread(target=burn, daemon=True).start()
    return {"answer": agent.execute_code("wait")}
"""
HOARD = """
def solver(agent, task):
    hoard = bytearray(int(task) << 20)
    agent.execute_code("wait")
    return {"answer": len(hoard)}
"""
THREADS = """
import threading, time
def solver(agent, task):
    made = []
    try:
        while True:
            thread = threading.Thread(target=time.sleep, args=(5,), daemon=True)
            thread.start()
            made.append(thread)
    except RuntimeError:
        pass
    agent.execute_code("wait")
    return {"answer": len(made)}
"""
POOL = """
from concurrent.futures import ThreadPoolExecutor
def solver(agent, task):
    with ThreadPoolExecutor(100) as pool:
        return {"answer": sum(pool.map(agent.execute_code, ["1"] * 100))}
"""


class Door:
    """A call handler that answers "wait" when the door is opened, and all else with 1."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = 0

    async def __call__(self, method: str, args: Any) -> Any:
        if args["code"] == "wait":
            self.waiting += 1
            await self.open.wait()
        return 1


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.02)


def start(sandbox: Sandbox, who: str, source: str, tasks: list[str], **options: Any) -> list[asyncio.Task[RunOutcome]]:
    with working_for(who):
        return [asyncio.create_task(sandbox.run_workflow(source, task, **options)) for task in tasks]


def children(processes: Callable[[Sandbox], set[int]], sandbox: Sandbox, idle: set[int]) -> list[psutil.Process]:
    found = []
    for pid in processes(sandbox) - idle:
        try:
            found.append(psutil.Process(pid))
        except psutil.NoSuchProcess:
            continue
    return found


def test_threads_of_some_leave_those_of_others_alone(levelled: Sandbox) -> None:
    async def run() -> tuple[list[int], RunOutcome]:
        door = Door()
        greedy = start(levelled, "greedy", THREADS, ["t"] * 4, handler=door)
        await until(lambda: door.waiting == 4)
        honest = await start(levelled, "honest", POOL, ["t"], handler=door)[0]
        door.open.set()
        return [(await task).value["answer"] for task in greedy], honest

    made, honest = asyncio.run(run())
    assert all(0 < count < 128 for count in made), made  # 128 with the main thread
    assert honest.value == {"answer": 100}, honest


def test_children_have_users_of_their_own(levelled: Sandbox, processes: Any) -> None:
    async def run() -> list[int]:
        door, idle = Door(), processes(levelled)
        tasks = start(levelled, "one", HOARD, ["1"] * 5, handler=door)
        await until(lambda: door.waiting == 5)
        found = [process.uids().real for process in children(processes, levelled, idle)]
        door.open.set()
        await asyncio.gather(*tasks)
        return found

    users = asyncio.run(run())
    assert len(users) == 5
    if os.geteuid() == 0:
        assert len(set(users)) == 5 and 0 not in users
    else:  # cannot be had without root: the thread gate counts per process instead
        assert set(users) == {os.geteuid()}


@pytest.mark.parametrize("source", [SLEEP, BURN])
def test_a_candidate_with_many_slow_items_does_not_keep_a_quick_one_waiting(levelled: Sandbox, source: str) -> None:
    async def run() -> tuple[int, set[str]]:
        slow = start(levelled, "slow", source, ["t"] * 24, handler=Door(), limits=Limits(cpu_seconds=1.0))
        await asyncio.sleep(0.3)
        quick = await asyncio.gather(*start(levelled, "quick", TRIVIAL, ["t"] * 20, handler=Door()))
        ended = sum(task.done() for task in slow)
        await asyncio.gather(*slow)
        return ended, {outcome.status for outcome in quick}

    ended, statuses = asyncio.run(run())
    assert statuses == {"ok"}
    assert ended <= 12, "the quick candidate should be done long before most of the slow one's items"


SLEEP_AFTER_A_CALL = """
import time
def solver(agent, task):
    agent.execute_code("wait")
    time.sleep(4)
    return {"answer": task}
"""


def test_who_sleeps_after_a_call_holds_no_slot() -> None:
    """It was idle before the reply and is idle after it: no look ever sees it compute."""

    async def run(sandbox: Sandbox) -> int:
        door = Door()
        sleeping = start(sandbox, "one", SLEEP_AFTER_A_CALL, ["t"] * 4, handler=door)
        await until(lambda: door.waiting == 4)
        await asyncio.sleep(0.5)
        door.open.set()
        await asyncio.sleep(0.5)
        await asyncio.gather(*start(sandbox, "two", TRIVIAL, ["t"] * 4, handler=door))
        ended = sum(task.done() for task in sleeping)
        await asyncio.gather(*sleeping)
        return ended

    with Sandbox(SandboxConfig(max_running=2)) as sandbox:
        sandbox.report()
        assert asyncio.run(run(sandbox)) == 0


def test_computing_and_running_programs_does_not_lock_up() -> None:
    """A child that was stopped with a call on its way gives back the slot that it gets while it waits."""
    source = BURN_IN_A_CALL.replace('"wait"', '"1"').replace(
        "return {", "for _ in range(5):\n        agent.execute_code('1')\n    return {"
    )

    async def run(sandbox: Sandbox) -> set[str]:
        async def handler(method: str, args: Any) -> Any:
            outcome = await sandbox.run_program("sum(range(10**5))")
            return Charged(outcome.value, 0.0)

        limits = Limits(cpu_seconds=0.3)
        tasks = start(sandbox, "one", source, ["t"] * 5, handler=handler, limits=limits)
        tasks += start(sandbox, "two", source, ["t"] * 5, handler=handler, limits=limits)
        async with asyncio.timeout(120):
            return {outcome.status for outcome in await asyncio.gather(*tasks)}

    with Sandbox(SandboxConfig(max_running=2)) as sandbox:
        sandbox.report()
        assert asyncio.run(run(sandbox)) <= {"ok", "timeout_cpu", "timeout_wall"}


def test_who_computes_during_a_pending_call_holds_a_slot(processes: Any) -> None:
    async def run(sandbox: Sandbox) -> None:
        door, idle = Door(), processes(sandbox)
        tasks = start(sandbox, "one", BURN_IN_A_CALL, ["t"] * 6, handler=door)
        await until(lambda: door.waiting == 6)

        def computing() -> int:
            status = [process.status() for process in children(processes, sandbox, idle)]
            return len(status) - status.count(psutil.STATUS_STOPPED)

        await until(lambda: computing() <= 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with Sandbox(SandboxConfig(max_running=2)) as sandbox:
        sandbox.report()
        asyncio.run(run(sandbox))


@pytest.mark.parametrize("layers", [("seccomp",), ("seccomp", "landlock"), ("seccomp", "landlock", "namespaces")])
def test_memory_of_waiting_children_is_bounded_together(layers: tuple[str, ...], processes: Any) -> None:
    async def run(sandbox: Sandbox) -> tuple[int, list[RunOutcome]]:
        door, idle = Door(), processes(sandbox)
        small = start(sandbox, "small", HOARD, ["1"] * 4, handler=door)
        large = start(sandbox, "large", HOARD, ["120"] * 6, handler=door)
        await until(lambda: sum(task.done() for task in large) >= 4)
        held = sum(p.memory_info().rss for p in children(processes, sandbox, idle)) >> 20
        door.open.set()
        return held, await asyncio.gather(*small, *large)

    with Sandbox(SandboxConfig(require="L0", layers=layers, memory_mb=600)) as sandbox:
        sandbox.report()
        held, outcomes = asyncio.run(run(sandbox))
    assert [o.status for o in outcomes[:4]] == ["ok"] * 4
    assert [o.status for o in outcomes[4:]].count("memory") == 4
    assert held < 600
    assert "all processes together" in next(o.error.message for o in outcomes if o.status == "memory" and o.error)


def test_what_the_host_computes_for_a_workflow_counts_as_its_time(levelled: Sandbox) -> None:
    calls = 0

    async def handler(method: str, args: Any) -> Any:
        nonlocal calls
        calls += 1
        return Charged(1, seconds=0.4)

    source = "def solver(agent, task):\n    while True:\n        agent.execute_code('1')\n"
    outcome = asyncio.run(levelled.run_workflow(source, "t", handler=handler, limits=Limits(wall_seconds=1.0)))
    assert (outcome.status, calls) == ("timeout_wall", 3)


def test_programs_say_how_long_they_ran(levelled: Sandbox) -> None:
    async def run() -> tuple[RunOutcome, float]:
        program = await levelled.run_program("import time\ntime.sleep(0.3)")
        tests = await levelled.run_tests(TestJob("def f():\n    import time\n    time.sleep(0.3)", "f", "f()"))
        return program, tests.wall_seconds

    program, seconds = asyncio.run(run())
    assert 0.3 <= program.wall_seconds < 5 and 0.3 <= seconds < 5


def test_a_handler_can_end_a_run(levelled: Sandbox) -> None:
    async def handler(method: str, args: Any) -> Any:
        raise RunEnded("budget", "enough is enough")

    source = "def solver(agent, task):\n    while True:\n        try:\n            agent.execute_code('1')\n"
    outcome = asyncio.run(levelled.run_workflow(source + "        except BaseException:\n            pass\n", "t",
                                                handler=handler))  # fmt: skip
    assert outcome.status == "budget" and outcome.error is not None and outcome.error.message == "enough is enough"


def test_replies_that_nobody_reads_do_not_pile_up(levelled: Sandbox) -> None:
    """The host stops answering calls once the channel is full of replies."""
    answered = 0

    async def handler(method: str, args: Any) -> Any:
        nonlocal answered
        answered += 1
        return "x" * 60_000

    source = """
import json, os
def solver(agent, task):
    for i in range(2_000):
        body = json.dumps({"id": i, "method": "execute_code", "args": {"code": "1", "timeout": 1}}).encode()
        os.write(3, bytes([3]) + len(body).to_bytes(4, "big") + body)
"""
    outcome = asyncio.run(levelled.run_workflow(source, "t", handler=handler, limits=Limits(wall_seconds=1.0)))
    assert outcome.status == "timeout_wall"
    assert answered <= MAX_PENDING_CALLS + 10
