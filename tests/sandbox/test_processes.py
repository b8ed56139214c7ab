"""The processes of a sandbox: recovery, limits on their number, and that none is left."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.sandbox.conftest import LAYERS
from w4s_gym.errors import ConfigError, SandboxUnavailable
from w4s_gym.sandbox import Limits, Sandbox, SandboxConfig, TestJob, TestOutcome
from w4s_gym.sandbox.inside import frames

TRIVIAL = "def solver(agent, task):\n    return {'answer': task}\n"
CALLING = "def solver(agent, task):\n    return {'answer': agent.execute_code(task)}\n"


async def echo(method: str, args: Any) -> Any:
    return args["code"]


def alive(pid: int) -> bool:
    """Return whether a process runs; it may end while it is asked for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pids: set[int]) -> bool:
    """Return whether processes end within a few seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not any(alive(p) for p in pids):
            return True
        time.sleep(0.02)
    return False


def test_nothing_starts_before_it_is_needed() -> None:
    children = {p.pid for p in psutil.Process().children()}
    sandbox = Sandbox()
    assert {p.pid for p in psutil.Process().children()} == children
    sandbox.close()
    with pytest.raises(SandboxUnavailable, match="closed"):
        sandbox.report()


def test_a_killed_zygote_costs_a_restart_and_nothing_else(processes: Any, zygote_of: Any) -> None:
    with Sandbox() as sandbox:
        sandbox.report()
        old = processes(sandbox)

        async def run_and_kill() -> list[Any]:
            sleeping = "import time\ntime.sleep(0.5)\n" + TRIVIAL
            program = "import time\ntime.sleep(0.5)\n7"
            runs = [sandbox.run_workflow(sleeping, str(i), handler=echo) for i in range(3)]
            tests = sandbox.run_tests(
                TestJob("import time\ntime.sleep(0.5)\ndef f():\n    return 1", "f", "assert f() == 1")
            )
            pending = asyncio.gather(*runs, sandbox.run_program(program), tests)
            await asyncio.sleep(0.2)
            zygote_of(sandbox).kill()
            return await pending

        *workflows, program, tests = asyncio.run(run_and_kill())
        assert [(o.status, o.value) for o in workflows] == [("ok", {"answer": str(i)}) for i in range(3)]
        assert (program.status, program.value, tests) == ("ok", 7, TestOutcome("ok"))
        assert gone(old)


def test_a_run_that_made_calls_is_not_repeated_in_silence(zygote_of: Any) -> None:
    """Its calls were paid for: the caller must start it again with a fresh ledger."""
    calls = []

    async def handler(method: str, args: Any) -> Any:
        calls.append(method)
        zygote_of(sandbox).kill()
        await asyncio.sleep(5)
        return 1

    with Sandbox() as sandbox:
        sandbox.report()
        outcome = asyncio.run(sandbox.run_workflow(CALLING, "x", handler=handler))
        assert (outcome.status, calls) == ("infrastructure", ["execute_code"])
        assert asyncio.run(sandbox.run_workflow(CALLING, "x", handler=echo)).status == "ok"


def test_a_hung_zygote_is_replaced(processes: Any, zygote_of: Any) -> None:
    with Sandbox(SandboxConfig(zygote_timeout=2.0)) as sandbox:
        sandbox.report()
        old = processes(sandbox)
        zygote_of(sandbox).send_signal(signal.SIGSTOP)
        outcome = asyncio.run(sandbox.run_workflow(TRIVIAL, "x", handler=echo))
        assert (outcome.status, outcome.value) == ("ok", {"answer": "x"}) and gone(old)


def test_a_zygote_is_recycled_while_its_children_run(zygote_of: Any) -> None:
    async def run_all() -> set[str]:
        sources = [TRIVIAL, "import time\ntime.sleep(0.3)\n" + TRIVIAL] * 6
        return {o.status for o in await asyncio.gather(*(sandbox.run_workflow(s, "t", handler=echo) for s in sources))}

    with Sandbox(SandboxConfig(recycle_after=12)) as sandbox:
        sandbox.report()
        first = zygote_of(sandbox).pid
        assert asyncio.run(run_all()) == {"ok"} and asyncio.run(run_all()) == {"ok"}
        assert zygote_of(sandbox).pid != first and len(sandbox._zygotes) <= 2


def test_a_spent_zygote_is_closed_when_its_last_child_ends(processes: Any) -> None:
    async def run_all() -> None:
        door = asyncio.Event()

        async def wait(method: str, args: Any) -> Any:
            await door.wait()
            return 1

        last = asyncio.ensure_future(sandbox.run_workflow(CALLING, "t", handler=wait))
        await asyncio.gather(*(sandbox.run_workflow(TRIVIAL, "t", handler=echo) for _ in range(4)))
        assert all(alive(pid) for pid in first) and len(sandbox._zygotes) == 2
        door.set()
        await last
        assert await asyncio.to_thread(gone, first) and len(sandbox._zygotes) == 1

    with Sandbox() as sandbox:
        sandbox.report()
        first = processes(sandbox)
        sandbox._config = SandboxConfig(recycle_after=sandbox._zygotes[0].spawned + 3)
        asyncio.run(run_all())


def test_cancelling_a_run_ends_its_process(processes: Any) -> None:
    async def cancel() -> None:
        task = asyncio.ensure_future(sandbox.run_workflow("while True: pass", "t", handler=echo))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Sandbox() as sandbox:
        sandbox.report()
        before = processes(sandbox)
        asyncio.run(cancel())
        assert processes(sandbox) == before
        assert asyncio.run(sandbox.run_workflow(TRIVIAL, "x", handler=echo)).status == "ok"


def test_only_so_many_children_compute_at_the_same_time(processes: Any) -> None:
    most = 0

    async def watch() -> None:
        nonlocal most
        burn = "import time\nend = time.monotonic() + 0.3\nwhile time.monotonic() < end: pass\n" + TRIVIAL
        runs = asyncio.gather(*(sandbox.run_workflow(burn, "t", handler=echo) for _ in range(6)))
        while not runs.done():
            most = max(most, len(processes(sandbox)) - idle)
            await asyncio.sleep(0.02)
        assert {o.status for o in await runs} == {"ok"}

    with Sandbox(SandboxConfig(max_running=2)) as sandbox:
        sandbox.report()
        idle = len(processes(sandbox))
        asyncio.run(watch())
    assert 1 <= most <= 3  # the third is on its way out


def test_close_ends_everything_from_any_thread(processes: Any) -> None:
    sandbox = Sandbox()
    sandbox.report()
    started = processes(sandbox)

    async def run() -> str:
        pending = asyncio.ensure_future(sandbox.run_workflow("import time\ntime.sleep(60)\n", "t", handler=echo))
        await asyncio.sleep(0.3)
        started.update(processes(sandbox))
        thread = threading.Thread(target=sandbox.close)
        thread.start()
        thread.join()
        with pytest.raises(SandboxUnavailable):
            await asyncio.wait_for(pending, 10)
        return "ended"

    assert asyncio.run(run()) == "ended"
    assert len(started) >= 2 and gone(started)
    sandbox.close()


SCRIPT = """
import asyncio, os, sys, threading
from w4s_gym.sandbox import Sandbox
async def handler(method, args):
    return 1
sandbox = Sandbox()
sandbox.report()
async def main():
    asyncio.ensure_future(sandbox.run_workflow("import time\\ntime.sleep(60)", "t", handler=handler))
    await asyncio.sleep(0.3)
    import psutil
    print(" ".join(str(p.pid) for p in psutil.Process().children(recursive=True)), flush=True)
    {end}
asyncio.run(main())
"""


@pytest.mark.parametrize(
    "end", ["pass", "os._exit(1)", "os.kill(os.getpid(), 9)", "raise SystemExit(3)", "sys.exit(0)"]
)
def test_no_process_outlives_the_interpreter(end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{end}", end)], capture_output=True, text=True, timeout=60
    )
    pids = {int(pid) for pid in done.stdout.split()}
    assert len(pids) >= 2, done
    assert gone(pids)


STOPS = """
import asyncio, psutil, sys
from w4s_gym.sandbox import Sandbox, SandboxConfig
from w4s_gym.sandbox.inside import frames
from w4s_gym.shares import working_for
layers, source, request = {how}
async def main():
    for who in range(4):
        with working_for(who):
            asyncio.ensure_future(sandbox.run_workflow(source, "t", handler=None))
    found = []
    while not any(status == "stopped" for _, status in found):
        await asyncio.sleep(0.02)
        found = [(p.pid, p.status()) for p in psutil.Process().children(recursive=True)]
    sandbox._zygotes[-1]._control.send(request)
    print(" ".join(str(pid) for pid, _ in found), flush=True)
    await asyncio.sleep(60)
sandbox = Sandbox(SandboxConfig(require="L0", layers=layers, max_running=1))
sandbox.report()
asyncio.run(main())
"""
BURN = "while True: pass"
WANTS_TO_STAY = "import ctypes\nctypes.CDLL(None).prctl(1, 0)\nwhile True: pass"
"""Takes back that it dies with its parent."""
HALF_A_REQUEST = frames.HEADER.pack(frames.CONTROL, 1000) + b"{"


@pytest.mark.parametrize(
    ("how", "also"),
    [
        ((LAYERS["L1"], BURN, b""), ""),
        ((LAYERS["L2"], BURN, b""), "zygote"),
        ((LAYERS["L3"], BURN, b""), ""),
        (((), WANTS_TO_STAY, b""), ""),
        (((), WANTS_TO_STAY, HALF_A_REQUEST), ""),
    ],
)
def test_children_that_are_stopped_end_with_a_host_that_is_killed(how: Any, also: str) -> None:
    script = STOPS.replace("{how}", repr(how))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pids = {int(pid) for pid in host.stdout.readline().split()}
        zygotes = [process.pid for process in psutil.Process(host.pid).children()] if also else []
        for pid in (*zygotes, host.pid):
            os.kill(pid, signal.SIGKILL)
    assert len(pids) >= 2 and gone(pids)


def test_a_forgotten_sandbox_is_closed(processes: Any) -> None:
    sandbox = Sandbox()
    sandbox.report()
    started = processes(sandbox)
    del sandbox
    gc.collect()
    assert gone(started)


def soak(items: int, zygote_of: Any) -> None:
    """Run many items, a tenth of them failing, and compare processes, descriptors and memory before and after."""
    sources = [TRIVIAL] * 7 + [
        CALLING,
        "import os\nos._exit(3)",
        "def solver(agent, task):\n    return {'answer': 'x' * 50_000}",
    ]

    async def run(count: int) -> None:
        async def one(i: int) -> None:
            await sandbox.run_workflow(sources[i % 10], str(i), handler=echo)

        for start in range(0, count, 100):
            await asyncio.gather(*(one(i) for i in range(start, start + 100)))

    def state() -> tuple[int, int, int, int]:
        gc.collect()
        zygote = zygote_of(sandbox)
        return (len(psutil.Process().children(recursive=True)), psutil.Process().num_fds(), zygote.num_fds(),
                zygote.memory_info().rss)  # fmt: skip

    with Sandbox(SandboxConfig(recycle_after=10**9)) as sandbox:
        sandbox.report()
        asyncio.run(run(100))
        children, fds, zygote_fds, zygote_rss = state()
        host_rss = psutil.Process().memory_info().rss
        asyncio.run(run(items))
        after = state()
        assert after[:3] == (children, fds, zygote_fds)
        assert after[3] - zygote_rss < 3_000_000 and psutil.Process().memory_info().rss - host_rss < 10_000_000


def test_a_few_hundred_items_leave_nothing_behind(zygote_of: Any) -> None:
    soak(300, zygote_of)


@pytest.mark.slow
def test_ten_thousand_items_leave_nothing_behind(zygote_of: Any) -> None:
    soak(10_000, zygote_of)


def test_options_are_checked() -> None:
    for wrong in ({"require": "L9"}, {"recycle_after": 0}, {"max_running": -1}, {"layers": ("chroot",)}):
        with pytest.raises(ConfigError):
            SandboxConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not_a_package"):
        Sandbox(SandboxConfig(packages=("not_a_package",))).report()


def test_a_package_whose_dependency_is_not_allowed_is_refused_with_its_name() -> None:
    with pytest.raises(SandboxUnavailable, match="markdown_it"):
        Sandbox(SandboxConfig(packages=("rich.markdown",))).report()


def test_more_packages_can_be_allowed() -> None:
    with Sandbox(SandboxConfig(packages=("numpy", "psutil"))) as sandbox:
        outcome = asyncio.run(sandbox.run_program("import psutil\npsutil.__version__"))
    assert (outcome.status, outcome.value) == ("ok", psutil.__version__)


def test_sources_that_need_other_modules_get_them_from_a_second_zygote() -> None:
    with Sandbox() as sandbox:
        for source, started in (
            ("import math\nmath.floor(2.5)", 1),
            ("import numpy\nint(numpy.arange(3).sum())", 2),
            ("import csv, sqlite3\nsqlite3.sqlite_version and csv.QUOTE_ALL", 2),
            ("'é'.encode('shift_jisx0213', 'replace').decode('latin-1') and 1", 2),
            ("len([2, 5])", 2),
        ):
            outcome = asyncio.run(sandbox.run_program(source))
            assert outcome.status == "ok", (source, outcome)
            assert len([z for z in sandbox._zygotes if not z.lost]) == started


def test_what_a_child_wrote_counts_also_when_it_is_read_after_its_end() -> None:
    """A busy host hears of the end first; a frame that breaks the protocol is still found."""
    source = (
        "import os\ndef solver(agent, task):\n    os.write(3, b'\\x63\\0\\0\\0\\x02{}')\n    return {'answer': 'x'}\n"
    )

    async def run_on_a_busy_loop() -> str:
        run = asyncio.ensure_future(sandbox.run_workflow(source, "t", handler=echo))
        while not sandbox._zygotes[0].active:
            await asyncio.sleep(0)
        time.sleep(0.5)
        return (await run).status

    with Sandbox() as sandbox:
        sandbox.report()
        assert asyncio.run(run_on_a_busy_loop()) == "protocol"


def test_limits_hold_to_the_point() -> None:
    with Sandbox() as sandbox:
        sandbox.report()
        start = time.monotonic()
        outcome = asyncio.run(
            sandbox.run_workflow("import time\ntime.sleep(60)", "t", handler=echo, limits=Limits(wall_seconds=0.5))
        )
        assert outcome.status == "timeout_wall" and 0.45 < time.monotonic() - start < 3
        assert outcome.error is not None and outcome.error.source_line == "time.sleep(60)"
        burned = asyncio.run(
            sandbox.run_workflow("while True: pass", "t", handler=echo, limits=Limits(cpu_seconds=0.4))
        )
        assert burned.status == "timeout_cpu" and 0.2 < burned.cpu_seconds < 1.0


def test_the_code_inside_imports_nothing_of_the_package() -> None:
    inside = Path(__file__).parents[2] / "w4s_gym" / "sandbox" / "inside"
    for path in inside.glob("*.py"):
        assert "import w4s_gym" not in path.read_text() and "from w4s_gym" not in path.read_text(), path
    assert os.path.exists(inside / "zygote.py")
