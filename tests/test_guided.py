"""The guided prompt style: what it says, and what it must not say."""

from dataclasses import replace

import pytest

from w4s_gym.guided import feedback_text, opening_text, repair_text, system_text
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.state import Attempt, DesignState, FailureCase, TaskCard

CARD = TaskCard("GSM8K", "Word problems.", 'A number: {"answer": "18"}.', "accuracy", "sim:x", True, 4, False, "How?")
QUESTION = "Ann has 17 apples and eats 4. How many are left?"
COT, POT = "def solver(agent, task):\n    return 1\n", "def solver(agent, task):\n    return 2\n"
STATE = DesignState(
    card=CARD,
    turn=0,
    workflow=POT,
    accuracy=0.5,
    best=0.5,
    best_workflow=POT,
    history=(Attempt("seed CoT", COT, 0.25, is_seed=True), Attempt("seed PoT", POT, 0.5, is_seed=True)),
    cases=(FailureCase(QUESTION, "Yes,\n she has", "13"),),
)


def test_failures_are_shown_by_kind_without_questions_and_answers():
    answers = [("Yes, she has", "13"), ("5", "7"), ("", "3"), ("x" * 40, "4")]
    raised = FailureCase(QUESTION, "(KeyError: 'answer')", "2", "KeyError: 'answer'")
    text = opening_text(replace(STATE, cases=(*(FailureCase(QUESTION, a, g) for a, g in answers), raised)))
    assert "Of 5 failures that were looked at: " in text
    for kind in ("2 x another answer", "1 x no answer", "1 x KeyError: 'answer'", "1 x a long text instead of a short"):
        assert kind in text
    assert "Ann" not in text and "Yes" not in text and "13" not in text
    assert CARD.example not in text + system_text(CARD)


def test_a_solution_that_fails_is_no_long_answer_and_an_error_is_told_on_code_benchmarks_too():
    gold = "(a program that passes the hidden tests)"
    solution = FailureCase("Add.", "def add(a, b):\n    return a - b\n" * 9, gold)
    raised = FailureCase("Add.", "(KeyError: 'code')", gold, "KeyError: 'code'")
    text = opening_text(replace(STATE, card=replace(CARD, is_code=True), cases=(solution, raised, solution)))
    assert (
        "Of 3 failures that were looked at: 2 x a solution that fails its hidden tests; 1 x KeyError: 'code'." in text
    )


def test_an_option_in_brackets_is_an_answer_not_an_error():
    text = opening_text(replace(STATE, cases=(FailureCase(QUESTION, "(A)", "(B)"),)))
    assert "1 x another answer" in text


def test_the_request_comes_last_after_the_workflow_and_its_failures():
    text = opening_text(STATE)
    assert text.index("return 2") < text.index("Others got: CoT 25%") < text.index("failures") < text.index("Write")
    assert text.endswith("in one ```python block.")


def test_only_the_current_workflow_is_shown_as_code_and_without_docstrings():
    documented = 'def solver(agent, task):\n    """Ask."""\n    text = """kept"""\n    return text\n'
    text = opening_text(replace(STATE, workflow=documented, accuracy=0.75, best=0.8))
    assert '"""Ask."""' not in text and 'text = """kept"""' in text and "return 1" not in text
    assert "gets 75% right (best so far: 80%)" in text and "Others got: CoT 25%, PoT 50%." in text


def test_without_failures_nothing_is_said_about_them():
    assert "failures" not in opening_text(replace(STATE, cases=()))


@pytest.mark.parametrize("is_code", [False, True])
def test_the_calls_for_programs_are_named_on_code_benchmarks_only(is_code):
    text = system_text(replace(CARD, is_code=is_code))
    assert ("exec_test" in text) == ("solver(agent, task, entry_point)" in text) == is_code


def test_feedback_says_what_was_reached_and_ends_with_the_request():
    text = feedback_text(replace(STATE, turn=1, accuracy=0.75, best=0.75), Attempt("turn 1", COT, 0.75), 0.5)
    assert "got 75% right (before: 50%; best so far: 75%)" in text and text.endswith("in one ```python block.")
    assert "was left out" in feedback_text(STATE, Attempt("turn 1", COT, None), 0.5)


def test_a_repair_names_the_error_and_the_failing_line():
    text = repair_text(ErrorReport("KeyError", "'answer'", 7, '    return reply["answer"]'))
    assert "KeyError: 'answer'" in text and 'Failing line: return reply["answer"]' in text
    assert "Failing line" not in repair_text(ErrorReport("NoWorkflow", "there is no block"))
