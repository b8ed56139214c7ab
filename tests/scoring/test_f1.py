"""HotpotQA and DROP: F1 and exact match."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.scoring.f1 import (
    answer_spans,
    exact_match_drop,
    exact_match_hotpotqa,
    normalize_span,
    score_drop,
    score_hotpotqa,
)

HOTPOTQA = [
    ("Paris", "Paris", 1.0),
    ("Paris", "paris", 1.0),
    ("Paris", "Paris.", 1.0),
    ("Paris", "the Paris", 1.0),
    ("The Beatles", "beatles", 1.0),
    ("Paris", "London", 0.0),
    ("Paris", "", 0.0),
    ("Paris", "Paris, France", 2 / 3),
    ("New York City", "New York", 0.8),
    ("New York", "York New", 1.0),
    ("a b c d", "b", 0.5),
    ("yes", "yes", 1.0),
    ("yes", "Yes.", 1.0),
    ("yes", "yes, they are", 0.0),
    ("yes", "no", 0.0),
    ("no", "no way", 0.0),
    ("Yes Minister", "yes", 0.0),
    ("No", "Noanswer", 0.0),
    ("buffalo buffalo", "buffalo", 2 / 3),
    ("Gesellschaft mit beschränkter Haftung", "gesellschaft mit beschränkter haftung", 1.0),
    ("1,000", "1000", 1.0),
    ("U.S.", "US", 1.0),
    ("30 m", "nan", 0.0),
    ("30 m", "inf", 0.0),
    ("東京", "東京", 1.0),
    ("Paris", "\x00", 0.0),
]

DROP = [
    (["2000"], "2000", 1.0),
    (["2000"], "2,000", 1.0),
    (["2000"], "2000.0", 1.0),
    (["2000"], "in 2000", 0.67),
    (["2000"], "1999", 0.0),
    (["2000"], "", 0.0),
    (["2000"], "nan", 0.0),
    (["2000"], "inf", 0.0),
    (["4 touchdowns"], "5 touchdowns", 0.0),
    (["4 touchdowns"], "4", 0.67),
    (["4 touchdowns"], "touchdowns", 0.0),
    (["67.2%"], "67.2%", 1.0),
    (["67.2%"], "67.2", 0.0),
    (["males", "male"], "male", 1.0),
    (["males", "male"], "the males", 1.0),
    (["males"], "females", 0.0),
    (["Tony Romo and Shaun Hill"], "Tony Romo and Shaun Hill", 1.0),
    (["Tony Romo and Shaun Hill"], "Shaun Hill and Tony Romo", 1.0),
    (["Tony Romo and Shaun Hill"], '["Shaun Hill", "Tony Romo"]', 1.0),
    (["Tony Romo and Shaun Hill"], '["Shaun Hill"]', 0.57),
    (["Tony Romo and Shaun Hill"], "Tony Romo", 0.57),
    (["Tony Romo and Shaun Hill"], '["Tony Romo", "Shaun Hill", "Matt Cassel"]', 0.67),
    (["Tony Romo"], '["Tony Romo", "Shaun Hill"]', 0.5),
    (["Tony Romo"], "Tony Romo|Shaun Hill|Matt Cassel", 0.33),
    (["1 and 2 and 3"], "[1, 2, 3]", 1.0),
    (["1 and 2 and 3"], "[3, 1, 2]", 1.0),
    (["truce called", "War of Independence", "British"], "British", 1.0),
    (["9-yard"], "9 yard", 1.0),
    (["3 May 1999"], "3 May 1999", 1.0),
    (["3 May 1999"], "May 1999", 0.8),
    (["a"], "the", 1.0),
    (["x"], "[]", 0.0),
    (["x"], "[" * 5000, 0.0),
    (["x"], '[["x"]]', 1.0),
    (["x"], "[null]", 0.0),
    ([], "x", 0.0),
]


@pytest.mark.parametrize(("gold", "answer", "score"), HOTPOTQA)
def test_hotpotqa(gold, answer, score):
    assert score_hotpotqa(gold, answer) == pytest.approx(score)


@pytest.mark.parametrize(("gold", "answer", "score"), DROP)
def test_drop(gold, answer, score):
    assert score_drop(gold, answer) == pytest.approx(score)


def test_exact_match():
    assert exact_match_hotpotqa("The Beatles", "beatles!") == 1.0
    assert exact_match_hotpotqa("The Beatles", "beatles band") == 0.0
    assert exact_match_drop(["a x and y"], '["y", "x"]') == 1.0
    assert exact_match_drop(["x and y"], '["y"]') == 0.0
    assert exact_match_drop(["4"], "4.0") == 1.0


def test_normalisation_of_drop():
    assert normalize_span("The 67.2%") == "672.0"
    assert normalize_span("9-yard run.") == "9.0 yard run"


def test_spans_of_an_answer():
    assert answer_spans('["a", 3]') == ["a", "3"]
    assert answer_spans("a and b") == ["a and b"]
    assert answer_spans("[1, {}]") == ["[1, {}]"]
    assert answer_spans(str(list(range(5000)))) != list(map(str, range(5000)))


def test_more_guesses_never_help():
    one = score_drop(["British"], "British")
    for guesses in ('["British", "French"]', "British French", "British|French", "British or French"):
        assert score_drop(["British"], guesses) < one


@pytest.mark.parametrize("unit", ["x ", "x", "-", "9 ", '"', "[", '["x",', "the ", "and ", "é"])
def test_megabytes_are_fast(unit):
    text = unit * (1_000_000 // len(unit))
    start = time.process_time()
    score_drop(["Tony Romo and Shaun Hill", "4"], text)
    score_hotpotqa("Tony Romo", text)
    assert time.process_time() - start < 1.0


@settings(deadline=None)
@given(st.text(min_size=1), st.text())
def test_scores_are_bounded(gold, answer):
    assert 0.0 <= score_drop([gold], answer) <= 1.0
    assert 0.0 <= score_hotpotqa(gold, answer) <= 1.0
    assert score_hotpotqa(gold, gold) == 1.0


HOSTILE = [
    *("[" + "1" * 5000 + "]", "[1e999]", "[NaN]", "[" * 5000, "[null]", "[{}]", '["a", ["b"]]', "[1" * 4000),
    *("1" * 100_000, "1e999", "-inf nan", "- " * 10_000),
]


@pytest.mark.parametrize("answer", HOSTILE)
def test_hostile_lists_and_numbers_are_scored(answer):
    assert 0.0 <= score_drop(["7"], answer) <= 1.0
    assert 0.0 <= score_hotpotqa("7", answer) <= 1.0


def test_thoughts_are_no_part_of_an_answer():
    assert score_drop(["7"], "<think>5 or 6</think>7") == score_hotpotqa("Paris", "London?</think> Paris") == 1.0
