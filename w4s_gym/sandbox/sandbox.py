"""The sandbox: runs model-written code in confined processes."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Any

from w4s_gym.errors import SandboxUnavailable
from w4s_gym.open_files import room_for_files
from w4s_gym.sandbox import bubblewrap
from w4s_gym.sandbox.child import Child
from w4s_gym.sandbox.code_tests import run_pair
from w4s_gym.sandbox.config import IsolationReport, SandboxConfig
from w4s_gym.sandbox.ending import Ending
from w4s_gym.sandbox.inside.preload import suffices
from w4s_gym.sandbox.isolation import accept, probe
from w4s_gym.sandbox.slot import Slot
from w4s_gym.sandbox.types import (
    PROGRAM_LIMITS,
    CallHandler,
    ErrorReport,
    Limits,
    RunOutcome,
    TestJob,
    TestOutcome,
)
from w4s_gym.sandbox.words import report_error, tail
from w4s_gym.sandbox.zygote_process import ZygoteProcess
from w4s_gym.shares import Shares, current_sharer

CHECK_LIMITS = Limits(cpu_seconds=2.0, wall_seconds=10.0, absolute_seconds=20.0, memory_mb=512)
"""Limits of `check_workflow`."""

_log = logging.getLogger(__name__)
_FILES_EACH = 4
"""Most open files of a workflow: its channel and one to be handed over, and those of its call to an endpoint."""

ATTEMPTS = 3
"""Tries of a run whose zygote was lost before it had an effect outside."""


class Sandbox:
    """Runs workflows, programs and tests, each in a confined process of its own.

    Construction starts nothing. Use one sandbox from one event loop at a time; `close` may be called from any thread,
    and is called at interpreter exit. In a fork of the process it starts anew, with processes of its own.
    """

    def __init__(self, config: SandboxConfig | None = None) -> None:
        """Keep the options.

        Args:
            config: required isolation level, number of children and packages (default: `SandboxConfig()`).
        """
        self._config = config or SandboxConfig()
        self._lock = threading.Lock()
        self._zygotes: list[ZygoteProcess] = []
        self._report: IsolationReport | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: Shares
        self._workflows: Shares
        self._programs: Shares
        self._closed = False
        self._box: str | None = None
        self._finalizer = weakref.finalize(self, _close_all, self._zygotes)
        _sandboxes.add(self)

    def report(self) -> IsolationReport:
        """Return the isolation level, found out by attacking it; starts the sandbox if needed.

        Raises:
            SandboxUnavailable: the machine does not offer the required level.
        """
        with self._lock:
            self._zygote(all_modules=False)
            assert self._report is not None
            return self._report

    async def run_workflow(
        self,
        source: str,
        task: str,
        *,
        entry_point: str | None = None,
        handler: CallHandler,
        seed: int = 0,
        limits: Limits = Limits(),
    ) -> RunOutcome:
        """Call `solver(agent, task)` (with the entry point if it takes one) in a process of its own.

        Args:
            source: Python source that defines `solver`.
            task: text of the item.
            entry_point: name of the function a program has to define, on code benchmarks.
            handler: answers the workflow's calls.
            seed: seeds `random` and `numpy.random` inside.
            limits: of the process.

        Raises:
            SandboxUnavailable: the machine does not offer the required level.

        Example:
            >>> import asyncio
            >>> async def answer(method, arguments):  # stands for the executor
            ...     return ["42"]
            >>> source = '''
            ... def solver(agent, task):
            ...     return {"answer": agent.call_llm(messages=[{"role": "user", "content": task}])[0]}
            ... '''
            >>> with Sandbox() as sandbox:
            ...     outcome = asyncio.run(sandbox.run_workflow(source, "What is 17 + 25?", handler=answer))
            >>> outcome.status, outcome.value
            ('ok', {'answer': '42'})
        """
        job = {"mode": "workflow", "source": source, "task": task, "entry_point": entry_point, "seed": seed}
        self._bind()
        return await self._run(self._workflows, job, limits, handler)

    async def run_program(self, source: str, *, seed: int = 0, limits: Limits = PROGRAM_LIMITS) -> RunOutcome:
        """Run a program; the value is that of `solution()` if it defines one, else that of its last line."""
        self._bind()
        return await self._run(self._programs, {"mode": "program", "source": source, "seed": seed}, limits)

    async def run_tests(self, job: TestJob) -> TestOutcome:
        """Run trusted tests against a candidate program, each side in a process of its own."""
        self._bind()
        outcome = TestOutcome("infrastructure")
        all_modules = not suffices(job.candidate, job.tests, job.setup)
        sharer = current_sharer()
        async with self._place(self._programs, sharer):
            for _ in range(ATTEMPTS):
                slot = await self._slot(sharer)
                try:
                    zygote = await self._ready(all_modules)
                    outcome = await run_pair(zygote, job, slot, Slot(self._running, sharer, held=False))
                finally:
                    slot.close()
                    self._retire()
                if outcome.status != "infrastructure":
                    break
        return outcome

    async def check_workflow(self, source: str) -> ErrorReport | None:
        """Return why a source is no workflow (does not compile, defines no usable `solver`), or None."""
        self._bind()
        job = {"mode": "check", "source": source, "seed": 0}
        return (await self._run(self._programs, job, CHECK_LIMITS)).error

    def close(self) -> None:
        """End every process of the sandbox; idempotent, from any thread."""
        with self._lock:
            self._closed = True
            self._finalizer()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_anew(self) -> None:
        """Forget, in a fork, what belongs to the process that was forked."""
        self._lock = threading.Lock()  # a thread of the other process may hold the old one
        self._loop = None
        while self._zygotes:
            self._zygotes.pop().abandon()

    async def _run(
        self, places: Shares, job: dict[str, Any], limits: Limits, handler: CallHandler | None = None
    ) -> RunOutcome:
        all_modules = not suffices(job["source"])
        sharer = current_sharer()
        async with self._place(places, sharer):
            for _ in range(ATTEMPTS):
                slot = await self._slot(sharer)
                try:
                    child = Child(await self._ready(all_modules), limits, slot=slot, handler=handler)
                    ending = await child.run(job)
                finally:
                    slot.close()
                    self._retire()
                if ending.status != "infrastructure" or ending.error is not None or child.made_calls:
                    break
        return _outcome(ending, job["source"], job["mode"])

    @asynccontextmanager
    async def _place(self, places: Shares, sharer: Hashable) -> AsyncIterator[None]:
        """Hold the right to have a process."""
        await places.take(sharer)
        try:
            yield
        finally:
            places.give(sharer)

    async def _slot(self, sharer: Hashable) -> Slot:
        """Take the right to compute."""
        await self._running.take(sharer)
        return Slot(self._running, sharer, held=True)

    def _bind(self) -> None:
        """Make what the runs of the running event loop share."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None and not self._loop.is_closed() and any(z.active for z in self._zygotes):
                raise RuntimeError("a sandbox can be used from one event loop at a time")
            self._loop = loop
            slots, places = self._config.running_slots, self._places_for_files()
            self._running = Shares(slots)
            self._workflows = Shares(places, keep_free=True)
            self._programs = Shares(max(slots, places // 4), keep_free=True)

    def _places_for_files(self) -> int:
        """How many workflows may exist at once: as configured, or fewer where the limit of open files is low."""
        room = room_for_files() // _FILES_EACH
        if room < 1:
            raise SandboxUnavailable(
                "this process may open too few files: raise the limit (`ulimit -n 4096` in the shell that starts it)"
            )
        if room < self._config.max_workflows:
            _log.warning("only %d workflows at once: few files may be opened (see `ulimit -n`)", room)
        return min(room, self._config.max_workflows)

    async def _ready(self, all_modules: bool) -> ZygoteProcess:
        """Return a zygote that serves the running loop."""
        zygote = self._usable(all_modules)
        if zygote is None:
            zygote = await asyncio.to_thread(self._locked_zygote, all_modules)
        zygote.attach(asyncio.get_running_loop())
        return zygote

    def _locked_zygote(self, all_modules: bool) -> ZygoteProcess:
        with self._lock:
            return self._zygote(all_modules)

    def _usable(self, all_modules: bool) -> ZygoteProcess | None:
        return next((z for z in self._zygotes if z.all_modules == all_modules and not self._spent(z)), None)

    def _retire(self) -> None:
        """Close, beside the event loop, the zygotes that are spent and whose last child has ended."""
        if self._loop is not None and any(self._spent(z) and not z.active for z in self._zygotes):
            self._loop.run_in_executor(None, self._close_spent)

    def _close_spent(self) -> None:
        with self._lock:
            for zygote in [z for z in self._zygotes if self._spent(z) and not z.active]:
                self._zygotes.remove(zygote)
                zygote.close()

    def _spent(self, zygote: ZygoteProcess) -> bool:
        return zygote.lost or zygote.spawned >= self._config.recycle_after

    def _zygote(self, all_modules: bool) -> ZygoteProcess:
        """Return a usable zygote, starting one if needed."""
        if self._closed:
            raise SandboxUnavailable("the sandbox was closed; make a new one")
        found = self._usable(all_modules)
        if found is not None:
            return found
        self._zygotes[:] = [z for z in self._zygotes if not z.lost]
        if self._report is None:
            # Packages that were chosen are loaded at once: a mistake shows at the start.
            self._zygotes.append(self._start(all_modules=self._config.packages != SandboxConfig.packages))
            return self._zygote(all_modules)
        self._zygotes.append(self._restart(all_modules))
        return self._zygotes[-1]

    def _start(self, all_modules: bool) -> ZygoteProcess:
        """Start the first zygote, in a box if that works, and find out the isolation level."""
        if "namespaces" in self._config.layers:
            self._box = bubblewrap.find()
            no_box = "" if self._box else bubblewrap.NOT_INSTALLED
        else:
            no_box = "switched off by SandboxConfig(layers=...)"
        try:
            zygote = self._restart(all_modules)
        except SandboxUnavailable as error:
            if self._box is None:
                raise
            no_box = bubblewrap.explain(str(error))
            self._box = None
            zygote = self._restart(all_modules)
        try:
            self._report = accept(probe(zygote, no_box), self._config)
        except BaseException:
            zygote.close()
            raise
        return zygote

    def _restart(self, all_modules: bool) -> ZygoteProcess:
        """Start a zygote with the confinement that was probed; the modules it has loaded change nothing about that."""
        zygote = ZygoteProcess(self._config, self._box, all_modules)
        zygote.start()
        return zygote


_sandboxes: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def _after_fork() -> None:
    for sandbox in list(_sandboxes):
        sandbox._start_anew()


os.register_at_fork(after_in_child=_after_fork)


def _close_all(zygotes: list[ZygoteProcess]) -> None:
    while zygotes:
        zygotes.pop().close()


def _outcome(ending: Ending, source: str, mode: str) -> RunOutcome:
    printed = tail(ending.result)
    value = (ending.result or {}).get("value")
    if ending.status == "ok" and mode == "workflow" and not (type(value) is dict and "answer" in value):
        ending.status, ending.detail = "protocol", "the result is not a dict with an answer"
    if ending.status == "ok":
        error = None
    else:
        value, error = None, report_error(ending, source)
    return RunOutcome(ending.status, value, error, printed, ending.cpu_seconds, ending.wall_seconds)
