from __future__ import annotations

import dataclasses

from w4s_gym.benchmark import Item, get_benchmark
from w4s_gym.feedback import failed_results, failure_cases, list_cases
from w4s_gym.results import Evaluation, ItemResult
from w4s_gym.sandbox.types import ErrorReport

ITEMS = (
    Item("a", "What is 1 + 1?", "2"),
    Item("b", "Write f.", "def f(): return 1", kind="code", entry_point="f", hidden_tests="assert f() == 1"),
    Item("c", "What is 2 + 2?", "4"),
    Item("d", "What is 3 + 3?", "6"),
)
RESULTS = Evaluation(
    (
        ItemResult("a", "ok", 0.5, "3"),
        ItemResult("b", "error", 0.0, error=ErrorReport("NameError", "name 'g' is not defined")),
        ItemResult("c", "infrastructure", 0.0),
        ItemResult("d", "ok", 1.0, "6"),
    ),
    planned=4,
)


def test_failures_are_measured_items_that_are_not_fully_solved():
    assert [r.item_id for r in failed_results(RESULTS)] == ["a", "b"]


def test_a_case_tells_answer_and_gold_but_never_a_program_that_solves_it():
    first, second = failure_cases(get_benchmark("Toy"), ITEMS, failed_results(RESULTS))
    assert (first.question, first.answer, first.gold) == ("What is 1 + 1?", "3", "2")
    assert second.answer == "(NameError: name 'g' is not defined)"
    assert (first.failure, second.failure) == ("", second.answer.strip("()"))
    assert "return 1" not in second.gold and "assert" not in second.gold


def test_a_confidential_benchmark_tells_nothing():
    secret = dataclasses.replace(get_benchmark("Toy"), confidential=True)
    assert failure_cases(secret, ITEMS, failed_results(RESULTS)) == ()


def test_long_texts_are_cut_in_the_list():
    case = failure_cases(get_benchmark("Toy"), [Item("a", "q" * 2000, "2")], [RESULTS.items[0]])
    assert len(list_cases(case)) < 700 and list_cases(()) == ""
