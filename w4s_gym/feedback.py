"""What a meta-agent is told about the items that a workflow got wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from w4s_gym.benchmark import Benchmark, Item
from w4s_gym.quoting import quoted
from w4s_gym.results import Evaluation, ItemResult
from w4s_gym.state import FailureCase


def failed_results(evaluation: Evaluation) -> list[ItemResult]:
    """Return the results of the items that were measured and not fully solved, in the evaluation's order."""
    return [result for result in evaluation.scored if result.score < 1.0]


@dataclass(frozen=True)
class Memorising:
    """How workflows did on items whose gold answers had been shown before, and on the others of the same set."""

    shown: float = 0.0
    """Sum of the scores on items that were shown."""
    shown_items: int = 0
    unseen: float = 0.0
    """Sum of the scores on the other items."""
    unseen_items: int = 0

    def __add__(self, other: Memorising) -> Memorising:
        return Memorising(
            self.shown + other.shown,
            self.shown_items + other.shown_items,
            self.unseen + other.unseen,
            self.unseen_items + other.unseen_items,
        )

    def accuracies(self) -> tuple[float, float] | None:
        """Return the accuracies on shown and on unseen items; None when one of them has no items."""
        if not self.shown_items or not self.unseen_items:
            return None
        return self.shown / self.shown_items, self.unseen / self.unseen_items


def memorising(evaluation: Evaluation, shown: Collection[str]) -> Memorising:
    """Compare a workflow's accuracy on items whose gold answers were shown before with that on the others.

    Args:
        evaluation: on the items that failures are shown from.
        shown: ids of those that were shown.
    """
    seen = [result.score for result in evaluation.scored if result.item_id in shown]
    unseen = [result.score for result in evaluation.scored if result.item_id not in shown]
    return Memorising(sum(seen), len(seen), sum(unseen), len(unseen))


def failure_cases(
    benchmark: Benchmark, items: Sequence[Item], results: Iterable[ItemResult]
) -> tuple[FailureCase, ...]:
    """Describe failed items.

    Questions of a confidential benchmark never enter a prompt, because prompts are written to disk as trajectories; nor
    does a program that solves a code item, because hidden tests grade it.

    Args:
        benchmark: the benchmark of the items.
        items: the items they are among.
        results: those of its results that shall be told, in this order.

    Returns:
        One case per result; none for a confidential benchmark.
    """
    if benchmark.confidential:
        return ()
    by_id = {item.id: item for item in items}
    return tuple(_case(by_id[result.item_id], result) for result in results)


def list_cases(cases: Iterable[FailureCase]) -> str:
    """Write cases as a list, long texts cut."""
    return "\n".join(
        f"- Question: {case.question[:600]}\n  Answer: {quoted(case.answer, 200)}\n  Correct answer: {case.gold[:200]}"
        for case in cases
    )


def _case(item: Item, result: ItemResult) -> FailureCase:
    failure = "" if result.status == "ok" else result.error.text() if result.error else result.status
    return FailureCase(
        question=item.task,
        answer=f"({failure})" if failure else result.answer,
        gold="(a program that passes the hidden tests)" if item.kind == "code" else str(item.gold),
        failure=failure,
    )
