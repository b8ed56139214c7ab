from __future__ import annotations

from dataclasses import replace

import pytest

from w4s_gym.results import Candidate, Evaluation, ItemResult
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.state import DesignState, FailureCase, TaskCard, after

CARD = TaskCard("Toy", "Add.", "number", "accuracy", "sim:x", True, 3, False, "")
START = DesignState(CARD, 0, "old", 0.5, 0.6, "best", (), (FailureCase("q", "a", "g"),))
ERROR = ErrorReport("NameError", "x")
CASES = (FailureCase("new", "a", "g"),)


def measured(accuracy: float) -> Candidate:
    items = tuple(ItemResult(str(i), "ok", float(i < 10 * accuracy)) for i in range(10))
    return Candidate("text", "evaluated", workflow="new", evaluation=Evaluation(items, 10), reward=0.5)


@pytest.mark.parametrize(("accuracy", "best", "holder"), [(0.9, 0.9, "new"), (0.6, 0.6, "best"), (0.2, 0.6, "best")])
def test_a_measured_candidate_becomes_the_current_workflow(accuracy, best, holder):
    state = after(START, measured(accuracy), CASES)
    assert (state.turn, state.workflow, state.accuracy, state.cases) == (1, "new", accuracy, CASES)
    assert (state.best, state.best_workflow) == (best, holder)
    assert [(a.name, a.accuracy, a.reward) for a in state.history] == [("turn 1", accuracy, 0.5)]


def test_a_skipped_candidate_takes_a_turn_and_changes_nothing_else():
    state = after(START, Candidate("text", "skipped", error=ERROR, reward=0.0))
    assert state == replace(START, turn=1, history=state.history) and state.history[0].accuracy is None


def test_a_repair_is_waited_for_without_a_turn_and_forgotten_after_it():
    waiting = after(START, Candidate("text", "needs_repair", error=ERROR, repairs_left=2))
    assert waiting == replace(START, repair=ERROR, repairs_left=2)
    assert after(waiting, Candidate("text", "infrastructure", error=ERROR)) == START
    assert after(waiting, measured(0.9), CASES).repair is None
