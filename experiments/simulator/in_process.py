"""Runs the project's own hand-made workflows without a sandbox: fast enough to fit on. Never for other code.

The host side (prompts, JSON replies, public tests, grading) is the environment's; only the processes are left out.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from w4s_gym.agent import AgentHost, full_answer
from w4s_gym.benchmark import Benchmark, Item
from w4s_gym.episode import Episode
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.ledger import Ledger
from w4s_gym.sandbox import Sandbox
from w4s_gym.sandbox.inside.agent import Agent
from w4s_gym.sandbox.types import (
    PROGRAM_LIMITS,
    Charged,
    ErrorReport,
    Limits,
    RunOutcome,
    TestJob,
    TestOutcome,
    WorkflowCallError,
)

T = TypeVar("T")


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("expected a coroutine that never waits; it waited")


class _Programs(Sandbox):
    """Runs the simulated executor's arithmetic programs, and looks test outcomes up."""

    def __init__(self, outcomes: dict[TestJob, TestOutcome]) -> None:
        self._outcomes = outcomes
        self.missing: set[TestJob] = set()

    async def run_program(self, source: str, *, seed: int = 0, limits: Limits = PROGRAM_LIMITS) -> RunOutcome:
        scope: dict[str, Any] = {}
        try:
            if "def solution" not in source:
                return RunOutcome("ok", eval(source, scope))
            exec(source, scope)
            return RunOutcome("ok", scope["solution"]())
        except Exception as error:
            return RunOutcome("error", None, ErrorReport(type(error).__name__, str(error)))

    async def run_tests(self, job: TestJob) -> TestOutcome:
        if job not in self._outcomes:
            self.missing.add(job)
        return self._outcomes.get(job, TestOutcome("error"))


class _Channel:
    def __init__(self, host: AgentHost) -> None:
        self._host = host

    def call(self, method: str, args: dict[str, Any]) -> Any:
        try:
            reply = finish(self._host(method, args))
            return reply.value if isinstance(reply, Charged) else reply
        except WorkflowCallError as error:
            raise RuntimeError(str(error)) from error


class InProcess:
    """Measures hand-made workflows on the items of one benchmark."""

    def __init__(self, benchmark: Benchmark, items: Sequence[Item]) -> None:
        """Keep the items."""
        self.benchmark = benchmark
        self.items = items
        self._outcomes: dict[TestJob, TestOutcome] = {}

    def scores(self, executor: SimulatedExecutor, source: str, count: int | None = None, draw: int = 0) -> list[float]:
        """Return the score of each item.

        Args:
            executor: the simulated executor.
            source: a hand-made workflow.
            count: number of items to use (default: all).
            draw: which draw of the executor's randomness.
        """
        scope: dict[str, Any] = {}
        exec(source, scope)
        programs = _Programs(self._outcomes)
        while True:
            found = [self._score(executor, scope["solver"], item, programs, draw) for item in self.items[:count]]
            if not programs.missing:
                return found
            self._run_missing(programs)

    def _score(self, executor: SimulatedExecutor, solver: Any, item: Item, programs: _Programs, draw: int) -> float:
        host = AgentHost(item, executor, programs, Episode(draw, Ledger("fit")), PROGRAM_LIMITS, self.benchmark.name)
        agent = Agent(_Channel(host))  # type: ignore[arg-type]
        entry = (item.entry_point,) if item.kind == "code" else ()
        try:
            answer = full_answer(solver(agent, item.task, *entry))
        except Exception:
            return 0.0
        return finish(self.benchmark.grade(item, answer, programs.run_tests)) if answer is not None else 0.0

    def _run_missing(self, programs: _Programs) -> None:
        """Run the tests that were not looked up yet, once for all later measurements."""
        import asyncio

        async def run() -> None:
            sandbox = Sandbox()
            jobs = sorted(programs.missing, key=lambda job: (job.entry_point, job.candidate, job.tests))
            gate = asyncio.Semaphore(4)

            async def one(job: TestJob) -> None:
                async with gate:
                    self._outcomes[job] = await sandbox.run_tests(job)

            try:
                await asyncio.gather(*(one(job) for job in jobs))
            finally:
                sandbox.close()

        asyncio.run(run())
        programs.missing.clear()
