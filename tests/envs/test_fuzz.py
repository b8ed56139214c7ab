"""Every grader with any text: never an exception, a score in [0, 1], megabytes at once."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.benchmark import Item, checked_score, get_benchmark
from w4s_gym.envs import MODULES

GOLDS = {
    "MGSM": "18", "GSM8K": "18", "GSMPlus": "None", "GSMHard": -9867630.5, "SVAMP": "18", "GSMSymbolic": "18",
    "ChainSum": "-42", "DROP": ["25 to 44", "a and b"], "HotpotQA": "Paris", "MMLUPro": "C", "GPQA": "C",
}  # fmt: skip
GRADED = [
    (name, gold, context)
    for name, gold in GOLDS.items()
    for context in ([{"published_tolerance": False}, {"published_tolerance": True}] if name == "GSMHard" else
                    [{}, {"grading": "published"}] if name in ("MGSM", "GSM8K", "MMLUPro") else [{}])
]  # fmt: skip
PIECES = [
    *(
        "18",
        "None",
        "####",
        "\n",
        " ",
        "The answer is ",
        r"\boxed{",
        r"\boxed ",
        "}",
        "Answer: ",
        ".",
        "=",
        "**",
        "__",
        "[",
        "]",
    ),
    *(
        '"',
        ",",
        "1" * 4400,
        "1e999",
        "-",
        "/",
        "0",
        "½",
        "١٨",
        "C",
        "(",
        ")",
        "Paris",
        "and",
        "\x00",
        "\ud800",
        "<think>",
    ),
    *(
        "</think>",
        "\\frac",
        "{1}",
        "{2}",
        "12 000",
        "1.000,50",
        "1'000",
        "nan",
        "inf",
        "#",
        "_",
        "cannot be determined",
    ),
]


def grade(name, gold, context, answer):
    item = Item("i", "t", gold, context=context)
    return checked_score(asyncio.run(get_benchmark(name).grade(item, answer, None)), name, "i")


def test_every_benchmark_without_programs_and_math_is_fuzzed_here():
    assert set(GOLDS) == set(MODULES) - {"MATH", "HumanEval", "MBPP"}  # see tests/scoring


@pytest.mark.parametrize(("name", "gold", "context"), GRADED)
@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join) | st.text(max_size=200))
def test_any_answer_has_a_score(name, gold, context, answer):
    assert 0.0 <= grade(name, gold, context, answer) <= 1.0


@pytest.mark.parametrize("unit", ["1", "[", "answer is ", r"\boxed{", "#### ", "- ", "a ", " and ", "1,", "\n"])
@pytest.mark.parametrize(("name", "gold", "context"), GRADED)
def test_work_does_not_grow_beyond_the_part_that_is_read(name, gold, context, unit, growth):
    assert growth(lambda answer: grade(name, gold, context, answer), unit) < 9
