"""Running workflows on items: sandbox, executor, grading and the ledger, all in flight together."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from w4s_gym.agent import AgentHost, RunBudgetExceeded, full_answer
from w4s_gym.benchmark import Benchmark, Item, checked_score
from w4s_gym.cluster import ItemRunner
from w4s_gym.episode import Episode
from w4s_gym.errors import BudgetExceeded, ConfigError, ExecutorUnavailable, SandboxUnavailable, W4SError
from w4s_gym.executor_pool import ExecutorPool
from w4s_gym.executors.base import Executor
from w4s_gym.ledger import Caps, Ledger
from w4s_gym.options import whole_number
from w4s_gym.quoting import quoted
from w4s_gym.racing import Race, Spent
from w4s_gym.remembered import Remembered
from w4s_gym.results import Evaluation, ItemResult
from w4s_gym.sandbox import Sandbox
from w4s_gym.sandbox.types import PROGRAM_LIMITS, ErrorReport, Limits, RunOutcome
from w4s_gym.scoring.grading import GraderError, grade_off_loop
from w4s_gym.shares import Shares, working_for
from w4s_gym.usage import Usage

_log = logging.getLogger(__name__)
_TIMEOUTS = ("timeout_cpu", "timeout_wall")
_ANSWER_CHARS = 2_000
_MAX_ANSWER_CHARS = 1_000_000
_SANDBOX_ATTEMPTS = 3


@dataclass(frozen=True)
class EvaluationLimits:
    """Limits of running workflows."""

    run: Limits = Limits()
    """Of one workflow on one item."""
    program: Limits = PROGRAM_LIMITS
    """Of `execute_code` and of test code."""
    item_caps: Caps = Caps(calls=100, programs=100)
    """Of one workflow on one item; over it the call raises `BudgetExceeded` inside the workflow."""
    evaluation_caps: Caps = Caps()
    """Of one workflow on all items."""
    coverage: float = 0.9
    """Smallest share of the planned items that must be measured, else `ExecutorUnavailable`."""
    probe: int = 4
    """Number of items that run first; if all of them time out, the other items are not tried. After a self-test that
    ended in time there is nothing to find out, and they run together with the others."""
    deadline_seconds: float = 3600.0
    """Wall clock of one workflow's self-test, evaluation and grading together; items unfinished by then time out."""
    in_flight: int = 256
    """Most items in flight at once; a candidate gets at most twice what is left for others."""
    endpoint_tools: tuple[str, ...] = ()
    """Types of tools that the endpoint runs itself (`web_search`, ...) and that workflows may ask for."""
    transcript: int = 0
    """Most characters of executor calls that are kept of an item that a workflow fails, for the journal and the page of
    a run; 0 keeps none. Confidential benchmarks keep none."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be used."""
        whole_number(self.transcript, 0, "limits.transcript")
        if not 0 <= self.coverage <= 1 or self.probe < 0 or self.deadline_seconds <= 0 or self.in_flight < 1:
            raise ConfigError(
                "limits: expected 0 <= coverage <= 1, probe >= 0, deadline_seconds > 0 and in_flight >= 1; got "
                f"{self.coverage}, {self.probe}, {self.deadline_seconds} and {self.in_flight}"
            )


class Evaluator:
    """Measures workflows of one benchmark with one executor. Lives on one event loop."""

    def __init__(
        self,
        benchmark: Benchmark,
        executor: Executor,
        sandbox: Sandbox,
        limits: EvaluationLimits,
        remembered: Remembered | None = None,
        elsewhere: ItemRunner | None = None,
    ) -> None:
        """Keep the parts; nothing is started.

        Args:
            benchmark: grades.
            executor: answers the calls.
            sandbox: runs the workflows.
            limits: of running them.
            remembered: results that need not be measured again; they are charged as if they were.
            elsewhere: runs the items, if they do not run here.
        """
        self._elsewhere = elsewhere
        self._remembered = remembered
        self._benchmark = benchmark
        self._executor = executor
        pool = executor.members if isinstance(executor, ExecutorPool) else {}
        self._executor_caps = {name: member.item_caps for name, member in pool.items()}
        self._sandbox = sandbox
        self.limits = limits
        self._places: Shares
        self._loop: asyncio.AbstractEventLoop | None = None

    async def evaluate_many(
        self, workflows: Sequence[str], items: Sequence[Item], episode: Episode
    ) -> list[Evaluation | ExecutorUnavailable | BudgetExceeded]:
        """Evaluate several workflows on the same items, all in flight together.

        Args:
            workflows: sources.
            items: the items, the same for each.
            episode: draw and account; each evaluation opens an account below it.

        Returns:
            For each workflow its evaluation, or the error that kept it from being measured, so that one failure
            does not lose the others.
        """
        results = await asyncio.gather(*(self.evaluate(w, items, episode) for w in workflows), return_exceptions=True)
        measured: list[Evaluation | ExecutorUnavailable | BudgetExceeded] = []
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ExecutorUnavailable | BudgetExceeded):
                raise result
            measured.append(result)
        return measured

    async def evaluate(
        self,
        workflow: str,
        items: Sequence[Item],
        episode: Episode,
        known: Mapping[int, ItemResult] | None = None,
        race: Race | None = None,
        deadline: float | None = None,
    ) -> Evaluation:
        """Evaluate one workflow.

        Args:
            workflow: source that defines `solver`.
            items: items to run it on.
            episode: draw and account.
            known: results by position in `items` that are measured already (same draw), for instance the self-test's.
            race: rule that may end the evaluation before all items ran.
            deadline: time of the event loop by which it must be done; default: `deadline_seconds` from now.

        Raises:
            ExecutorUnavailable: fewer than `coverage` of the items could be measured.
            BudgetExceeded: a cap of the run was reached.
        """
        with working_for(workflow):
            return await self._evaluate(workflow, items, episode, known, race, deadline or self.deadline())

    @property
    def confidential(self) -> bool:
        """Whether texts of items must not be written anywhere."""
        return self._benchmark.confidential

    def deadline(self) -> float:
        """Return the time of the event loop by which a workflow that starts now must be done."""
        return asyncio.get_running_loop().time() + self.limits.deadline_seconds

    async def _evaluate(
        self,
        workflow: str,
        items: Sequence[Item],
        episode: Episode,
        known: Mapping[int, ItemResult] | None,
        race: Race | None,
        deadline: float,
    ) -> Evaluation:
        own = episode.child("evaluation", self.limits.evaluation_caps)
        places = self._bound_places()
        notes: set[str] = set()
        results: dict[int, ItemResult] = dict(known or {})
        probe = [i for i in range(min(self.limits.probe, len(items))) if i not in results]
        rest = [i for i in (race.order if race else range(len(items))) if i >= self.limits.probe and i not in results]
        # What is known may say already that the workflow neither times out on all nor cannot be asked at all.
        proven = any(r.status not in (*_TIMEOUTS, "infrastructure") for r in results.values())
        ahead, probe = (probe, []) if proven else ([], probe)
        given_up = False

        async def run(index: int) -> None:
            await places.take(workflow)
            try:
                results[index] = await self.run_item(workflow, items[index], own, notes)
            finally:
                places.give(workflow)

        try:
            async with asyncio.timeout_at(deadline):
                await _all(run(i) for i in probe)
                hopeless = bool(results) and all(r.status in _TIMEOUTS for r in results.values())
                if probe and self.limits.coverage and all(r.status == "infrastructure" for r in results.values()):
                    raise self._unavailable(list(results.values()), len(items))
                while (ahead or rest) and not hopeless:
                    stage = len(rest)
                    if race is not None:
                        measured = len(results) + len(ahead)
                        due = race.is_look(measured)
                        if due and not ahead and race.gives_up(_scores(results), _spent(results)):
                            given_up = True
                            break
                        stage = 0 if due and ahead else race.next_look(measured) - measured
                    now, ahead, rest = [*ahead, *rest[:stage]], [], rest[stage:]
                    # Longest first: the last to finish are short.
                    await _all(run(i) for i in sorted(now, key=lambda i: -len(items[i].task)))
        except TimeoutError:
            hopeless = True
        ordered = []
        for index, item in enumerate(items):
            if index not in results and given_up:
                continue
            if index not in results:
                error = ErrorReport("timeout_wall", "not tried: the workflow timed out on the first items")
                results[index] = ItemResult(item.id, "timeout_wall", 0.0, error=error)
            ordered.append(results[index])
        silent = sum(result.silent for result in ordered)
        if silent:
            notes.add(
                f"{silent} replies ended at their token limit before the model had written anything but thoughts: "
                "raise max_completion_tokens or ask for less reasoning"
            )
            _log.warning("%s: %d replies ended at their token limit with thoughts alone", self._executor.name, silent)
        failed = [result for result in ordered if result.grading]
        if failed:
            notes.add(f"the grader failed on {len(failed)} answers, which score 0: {quoted(failed[0].grading)}")
        evaluation = Evaluation(
            tuple(ordered),
            len(items),
            stopped_early=hopeless or given_up,
            estimate=race.expected(_scores(results), _spent(results)) if race is not None and given_up else None,
            notes=tuple(sorted(notes)),
        )
        if len(evaluation.scored) < self.limits.coverage * len(ordered):
            raise self._unavailable(ordered, len(ordered))
        return evaluation

    def _unavailable(self, results: Sequence[ItemResult], items: int) -> ExecutorUnavailable:
        """The error for an evaluation with too few measured items; the first cause stands in front."""
        lost = [r for r in results if r.status == "infrastructure"]
        cause = next((r.error.message for r in lost if r.error is not None), "the sandbox could not run the workflow")
        stores = getattr(self._executor, "stores", False)
        return ExecutorUnavailable(
            f"{cause}. So {self._executor.name} left {len(lost)} of {len(results)} items that were tried unmeasured; "
            f"expected at least {self.limits.coverage:.0%} of {items} to be measured: the workflow has no score"
            + ("; what was answered is in the cache and is not paid again" if stores else "")
        )

    def _bound_places(self) -> Shares:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._places = loop, Shares(self.limits.in_flight, keep_free=True)
        return self._places

    async def run_item(self, workflow: str, item: Item, episode: Episode, notes: set[str] | None = None) -> ItemResult:
        """Run one workflow on one item and grade its answer, unless the result is remembered.

        Raises:
            BudgetExceeded: a cap of the run was reached.
        """
        place = workflow, item.id, episode.draw
        kept = self._remembered.get(*place) if self._remembered is not None else None
        if kept is not None:
            episode.child("item").ledger.settle(0, kept[0].usage)
        else:
            if self._elsewhere is not None:
                kept = await self._elsewhere.run(workflow, item, episode.draw)
                episode.child("item").ledger.settle(0, kept[0].usage)
            else:
                said: set[str] = set()
                kept = await self._run(workflow, item, episode, said), frozenset(said)
            if self._remembered is not None:
                self._remembered.keep(*place, *kept)
        if notes is not None:
            notes |= kept[1]
        return kept[0]

    async def _run(self, workflow: str, item: Item, episode: Episode, notes: set[str]) -> ItemResult:
        own = episode.child("item", self.limits.item_caps, self._executor_caps)
        for _ in range(_SANDBOX_ATTEMPTS):
            host = AgentHost(
                item,
                self._executor,
                self._sandbox,
                own,
                self.limits.program,
                self._benchmark.name,
                self.limits.endpoint_tools,
                0 if self.confidential else self.limits.transcript,
            )
            outcome = await self._sandbox.run_workflow(
                workflow,
                item.task,
                entry_point=item.entry_point,
                handler=host,
                seed=run_seed(item.id, own.draw),
                limits=self.limits.run,
            )
            if host.model_override:
                notes.add("`model=` was ignored: the executor is fixed by the environment")
            if isinstance(host.failure, RunBudgetExceeded):
                raise BudgetExceeded(str(host.failure))
            if host.failure is not None:
                error = ErrorReport("ExecutorUnavailable", str(host.failure)[:1000])
                return ItemResult(item.id, "infrastructure", 0.0, error=error, usage=own.ledger.usage)
            if outcome.status != "infrastructure":
                break
        result = await self._judge(item, outcome, own.ledger.usage, host.silent)
        return result if result.score == 1 else replace(result, transcript=host.transcript.text)

    async def _judge(self, item: Item, outcome: RunOutcome, usage: Usage, silent: int) -> ItemResult:
        """Grade what a run gave."""
        if outcome.status != "ok":
            return ItemResult(item.id, outcome.status, 0.0, error=outcome.error, usage=usage, silent=silent)
        answer = full_answer(outcome.value)
        if answer is None:
            error = ErrorReport("no_result", 'solver must return a dict whose "answer" is a string or a number')
            return ItemResult(item.id, "no_result", 0.0, error=error, usage=usage, silent=silent)
        score, problem = await self._grade(item, answer[:_MAX_ANSWER_CHARS])
        result = ItemResult(item.id, "ok", 0.0, answer[:_ANSWER_CHARS], usage=usage, grading=problem, silent=silent)
        return replace(result, status="infrastructure") if score is None else replace(result, score=score)

    async def _grade(self, item: Item, answer: str) -> tuple[float | None, str]:
        """Return the score and what went wrong in the grader, if anything did.

        An exception of the grader, or its taking too long, is its fault, not the answer's; but as an answer may aim at
        it, the item scores 0, and it is counted. The score is None when the grader could not run, which says nothing
        about the answer.

        Raises:
            ConfigError: the grader returns something that is no score.
        """
        for _ in range(_SANDBOX_ATTEMPTS):
            try:
                score = await grade_off_loop(self._benchmark.grade, item, answer, self._sandbox.run_tests)
            except SandboxUnavailable:
                continue
            except ConfigError:
                raise
            except Exception as error:
                # A message may hold texts of the item.
                why = "" if self._benchmark.confidential else f": {str(error)[:200]}"
                kind = error.kind if isinstance(error, GraderError) else type(error).__name__
                problem = f"{kind}{why}"
                _log.error("the grader of %s failed on item %s: %s", self._benchmark.name, item.id, problem)
                return 0.0, problem
            return checked_score(score, self._benchmark.name, item.id), ""
        return None, ""


def _scores(results: Mapping[int, ItemResult]) -> dict[int, float]:
    """Scores by position of the items that could be measured."""
    return {i: r.score for i, r in results.items() if r.status != "infrastructure"}


def _spent(results: Mapping[int, ItemResult]) -> Spent:
    """Mean tokens and dollars of the items that could be measured."""
    sofar = Evaluation(tuple(results.values()), len(results))
    return sofar.tokens_per_item, sofar.dollars_per_item


def run_seed(item_id: str, draw: int) -> int:
    """Seed of the workflow's own randomness on one item: the same whatever the order of the items."""
    return int.from_bytes(hashlib.blake2b(f"{draw}/{item_id}".encode(), digest_size=6).digest(), "big")


def charge_again(ledger: Ledger, usage: Usage) -> None:
    """Charge results that are kept in memory: their calls count as cached ones, and cost nothing."""
    ledger.settle(0, usage.again())


async def _all(coroutines) -> None:  # type: ignore[no-untyped-def]
    """Run all; if one raises, cancel the others and raise it alone."""
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
    except* W4SError as errors:
        raise errors.exceptions[0] from None
