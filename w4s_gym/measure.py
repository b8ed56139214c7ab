"""Measuring workflows on the splits of one environment; results are kept, so that nothing is paid twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from w4s_gym.episode import Episode
from w4s_gym.errors import BudgetExceeded, ExecutorUnavailable
from w4s_gym.evaluation import Evaluator, charge_again
from w4s_gym.racing import Race, RacingRule, Saving
from w4s_gym.results import Evaluation, ItemResult
from w4s_gym.reward import RewardRule
from w4s_gym.sandbox import Sandbox
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.shares import working_for
from w4s_gym.splits import Split
from w4s_gym.usage import Usage

Part = Literal["validation", "test", "feedback"]


@dataclass(frozen=True)
class Trial:
    """A workflow that went through its self-test and, if it passed, through validation."""

    evaluation: Evaluation | None = None
    """Validation results, if it passed."""
    error: ErrorReport | None = None
    """Why there are none."""
    infrastructure: bool = False
    """The failure is not the workflow's."""
    usage: Usage = field(default_factory=Usage)


@dataclass
class Kept:
    """What was measured; the results themselves never change."""

    results: dict[tuple[str, int, Part], Evaluation] = field(default_factory=dict)
    """Whole evaluations, by digest of the workflow, draw and part."""
    samples: dict[tuple[str, int], ItemResult] = field(default_factory=dict)
    """Self-tests, by digest and draw."""
    partial: dict[tuple[str, int], dict[int, ItemResult]] = field(default_factory=dict)
    """Results by position of validations that a race ended."""

    def copy(self) -> Kept:
        """Return what stays as it is when more is measured."""
        return Kept(dict(self.results), dict(self.samples), dict(self.partial))

    def add(self, other: Kept) -> None:
        """Take up what was measured elsewhere, or later; what is here already stays."""
        self.results = other.results | self.results
        self.samples = other.samples | self.samples
        self.partial = other.partial | self.partial


_NO_CALL = ErrorReport(
    "NoCall",
    "solver answered without asking the executor; pass `task` to agent.call_llm or agent.call_json_format_llm and take "
    "the answer out of the reply",
)


class Measurer:
    """Measures workflows on the validation and test items of one split."""

    def __init__(
        self,
        evaluator: Evaluator,
        sandbox: Sandbox,
        split: Split,
        record: Callable[..., None],
    ) -> None:
        """Keep the parts.

        Args:
            evaluator: runs workflows on items.
            sandbox: checks that a workflow compiles.
            split: validation and test items.
            record: called as `record(kind, **data)` for every fresh measurement.
        """
        self._evaluator = evaluator
        self._sandbox = sandbox
        self._split = split
        self._record = record
        self.kept = Kept()
        """What is not measured again."""
        self._locks: dict[tuple[str, int], asyncio.Lock] = {}
        self.saving = Saving(0, 0, 0, 0)
        """What racing saved so far."""

    def measured(self) -> list[tuple[str, Evaluation]]:
        """Digest and results of every workflow that was measured on all validation items, in the order of that."""
        return [(key, evaluation) for (key, _, part), evaluation in self.kept.results.items() if part == "validation"]

    async def measure(self, sources: Sequence[str], part: Part, episode: Episode) -> list[Evaluation]:
        """Measure several workflows on one part of the split, all in flight together.

        Args:
            sources: Python sources that define `solver`; equal ones are measured once.
            part: `validation`, `test` or `feedback`.
            episode: draw and account; results kept in memory are charged to it as cached calls.

        Raises:
            ExecutorUnavailable: too few items of a workflow could be measured; the others are kept.
            BudgetExceeded: a cap of the run was reached; what was measured is kept.
        """
        parts = {"validation": self._split.validation, "test": self._split.test, "feedback": self._split.feedback}
        items = parts[part]
        fresh = [s for s in dict.fromkeys(sources) if (digest(s), episode.draw, part) not in self.kept.results]
        outcomes = await self._evaluator.evaluate_many(fresh, items, episode)
        errors = []
        for source, outcome in zip(fresh, outcomes, strict=True):
            if isinstance(outcome, Evaluation):
                self._keep(source, episode.draw, part, outcome)
            else:
                errors.append(outcome)
        if errors:
            raise errors[0]
        unpaid = set(fresh)
        results = []
        for source in sources:
            result = self.kept.results[digest(source), episode.draw, part]
            if source in unpaid:
                unpaid.discard(source)
            else:
                charge_again(episode.ledger, result.usage)
            results.append(result)
        return results

    async def measure_some(self, source: str, places: Sequence[int], episode: Episode) -> list[ItemResult]:
        """Measure a workflow on some of the items that failures may be shown from.

        Args:
            source: Python source that defines `solver`.
            places: positions among the feedback items or, without those, among the validation items.
            episode: draw and account; of a workflow that was measured on all of them, the results are charged to it
                as cached calls.

        Raises:
            ExecutorUnavailable: too few of the items could be measured.
            BudgetExceeded: a cap of the run was reached.
        """
        part: Part = "feedback" if self._split.feedback else "validation"
        whole = self.kept.results.get((digest(source), episode.draw, part))
        if whole is not None:
            results = [whole.items[place] for place in places]
            charge_again(episode.ledger, sum((result.usage for result in results), Usage()))
            return results
        items = self._split.feedback or self._split.validation
        evaluation = await self._evaluator.evaluate(source, [items[place] for place in places], episode)
        view = evaluation_view(evaluation)
        self._record("evaluation", part=f"some {part}", draw=episode.draw, workflow=source, **view)
        return list(evaluation.items)

    async def measure_feedback(self, source: str, episode: Episode) -> Evaluation:
        """Measure a workflow on the items that failures are shown from; who asks at the same time waits for the first.

        Raises:
            ExecutorUnavailable: too few items could be measured.
            BudgetExceeded: a cap of the run was reached.
        """
        async with self._locks.setdefault((f"feedback {digest(source)}", episode.draw), asyncio.Lock()):
            return (await self.measure([source], "feedback", episode))[0]

    async def try_workflow(
        self, source: str, self_test: bool, episode: Episode, race: Race | None = None, must_ask: bool = False
    ) -> Trial:
        """Run the one-sample self-test, then validation; never raises for what the workflow or the endpoint does.

        Args:
            source: Python source that defines `solver`.
            self_test: whether one sample runs first.
            episode: draw and account; results kept in memory are charged to it as cached calls.
            race: rule that may end validation early.
            must_ask: fail a workflow that passes its self-test without a call to the executor.
        """
        draw = episode.draw
        key = (digest(source), draw)
        deadline = self._evaluator.deadline()
        # Equal workflows among the candidates wait for the first of them and are then charged as cached.
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self.kept.results.get((*key, "validation"))
            if kept is not None:
                charge_again(episode.ledger, kept.usage)
                return Trial(kept, usage=kept.usage)
            sample: ItemResult | None = None
            try:
                if self_test:
                    sample = self.kept.samples.get(key) or await self._self_test(source, episode, deadline)
                    if sample.status == "infrastructure":
                        return Trial(error=sample.error, infrastructure=True, usage=sample.usage)
                    self.kept.samples[key] = sample
                    if sample.status not in ("ok", "budget"):
                        return Trial(error=sample.error, usage=sample.usage)
                    if must_ask and sample.usage.calls == 0:
                        return Trial(error=_NO_CALL, usage=sample.usage)
                known = self.kept.partial.get(key, {} if sample is None else {0: sample})
                charge_again(episode.ledger, sum((r.usage for r in self.kept.partial.get(key, {}).values()), Usage()))
                items = self._split.validation
                evaluation = await self._evaluator.evaluate(source, items, episode, known, race, deadline)
            except (ExecutorUnavailable, BudgetExceeded) as error:
                usage = sample.usage if sample else Usage()
                return Trial(
                    error=ErrorReport(type(error).__name__, str(error)[:500]), infrastructure=True, usage=usage
                )
            if race is not None:
                stopped = int(evaluation.estimate is not None)
                self.saving = self.saving + Saving(len(items), len(evaluation.items), stopped, 1)
            if evaluation.estimate is not None:
                position = {item.id: i for i, item in enumerate(items)}
                self.kept.partial[key] = {position[r.item_id]: r for r in evaluation.items}
                self._write("validation", draw, source, evaluation)
            else:
                self._keep(source, draw, "validation", evaluation)
            return Trial(evaluation, usage=evaluation.usage)

    async def complete(self, source: str, episode: Episode) -> Evaluation:
        """Run the items that a stopping rule left out.

        Raises:
            ExecutorUnavailable: too few items could be measured.
            BudgetExceeded: a cap of the run was reached.
        """
        key = (digest(source), episode.draw)
        if key not in self.kept.partial:
            return self.kept.results[(*key, "validation")]  # an equal candidate was completed before
        known = self.kept.partial[key]
        evaluation = await self._evaluator.evaluate(source, self._split.validation, episode, known)
        self.saving = self.saving + Saving(0, len(evaluation.items) - len(known), 0, 0)
        del self.kept.partial[key]
        self._keep(source, episode.draw, "validation", evaluation)
        return evaluation

    def race(self, workflow: str, draw: int, rule: RacingRule, reward: RewardRule) -> Race | None:
        """Make the race against a workflow that holds the state; None if it was not measured on all items."""
        reference = self.kept.results.get((digest(workflow), draw, "validation"))
        size = len(self._split.validation)
        if reference is None or len(reference.scored) < size:
            return None
        archive = [e for (_, _, part), e in self.kept.results.items() if part == "validation" and len(e.scored) == size]
        scores = [[r.score for r in e.items] for e in archive]
        spent = reference.tokens_per_item, reference.dollars_per_item
        return Race([r.score for r in reference.items], scores, rule, reward.cost if reward.priced else None, spent)

    async def _self_test(self, source: str, episode: Episode, deadline: float) -> ItemResult:
        item = self._split.validation[0]
        own = episode.child("self-test")
        try:
            async with asyncio.timeout_at(deadline):
                with working_for(source):
                    problem = await self._sandbox.check_workflow(source)
                    if problem is not None:
                        return ItemResult(item.id, "error", 0.0, error=problem)
                    return await self._evaluator.run_item(source, item, own)
        except TimeoutError:
            limit = self._evaluator.limits.deadline_seconds
            error = ErrorReport("timeout_wall", f"the self-test did not end within {limit:g} s")
            return ItemResult(item.id, "timeout_wall", 0.0, error=error, usage=own.ledger.usage)

    def _keep(self, source: str, draw: int, part: Part, evaluation: Evaluation) -> None:
        self.kept.results[digest(source), draw, part] = evaluation
        self._write(part, draw, source, evaluation)

    def _write(self, part: Part, draw: int, source: str, evaluation: Evaluation) -> None:
        texts = {} if self._evaluator.confidential else failure_texts(evaluation)
        self._record("evaluation", part=part, draw=draw, workflow=source, **evaluation_view(evaluation), **texts)


def digest(source: str) -> str:
    """Key of a workflow's source."""
    return hashlib.blake2b(source.encode("utf-8", "replace"), digest_size=16).hexdigest()


def evaluation_view(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation as the journal keeps it: figures and a status and score per item, no answers."""
    return {
        "accuracy": evaluation.accuracy,
        "planned": evaluation.planned,
        "stopped_early": evaluation.stopped_early,
        "statuses": evaluation.statuses,
        "usage": asdict(evaluation.usage),
        "items": [[r.item_id, r.status, r.score] for r in evaluation.items],
        "grader_failures": {r.item_id: r.grading for r in evaluation.items if r.grading},
    }


_TRANSCRIPTS = 3
"""Failed items of an evaluation whose transcripts the journal keeps."""
_WHAT_CHARS = 160


def failure_texts(evaluation: Evaluation) -> dict[str, Any]:
    """How items failed, in a few words, and what was asked on the first of them if that was kept, by item."""
    failed = [r for r in evaluation.items if r.score < 1]
    told = {r.item_id: (f"answered {r.answer!r}" if r.error is None else r.error.text())[:_WHAT_CHARS] for r in failed}
    kept = [r for r in failed if r.transcript][:_TRANSCRIPTS]
    return {"failed": told, **({"transcripts": {r.item_id: r.transcript for r in kept}} if kept else {})}
