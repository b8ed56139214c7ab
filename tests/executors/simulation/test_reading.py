"""The simulator reads any prompt, in time that grows with its length."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.benchmark import Item
from w4s_gym.executors.base import ChatRequest
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.items import LABEL

EXECUTOR = SimulatedExecutor("sim:gpt-4o-mini")
ITEMS = [
    Item("n", "How many are 3 and 4 apples?", "7"),
    Item("t", "Passage: Ada Lovelace met Charles Babbage.\nQuestion: Who met him?", ["Ada Lovelace"], "text"),
    Item("c", "Which?\n\nOptions:\nA. x\nB. y\nC. z", "B", "choice"),
    Item("m", "Compute 1/2.", "\\frac{1}{2}", "math"),
    Item("k", "def f(x):\n  ...", "def f(x):\n    return x + 1\n", "code", entry_point="f"),
]
KEYS = [(), ("reasoning", "answer"), ("choice",), ("verdict", "score")]
UNITS = [
    *("\n", " ", "answer ", "answer  \n", "1,", "A ", "(A)\n", "1.\n", "[#", '"a" ', "def f(x):\n", " (\n", "\r"),
    *("Reply in JSON format, ONLY using the keys [", "Ada Lovelace ", "try 1: 7\n"),
]


def ask(item, text, keys=(), system=""):
    messages = ({"role": "system", "content": f"You are a helpful x. {system}"},
                {"role": "user", "content": f"{text}\n{item.task}"})  # fmt: skip
    return EXECUTOR.answer(ChatRequest(messages, json_keys=keys, item=item))


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.kind)
def test_work_grows_with_the_length_of_a_prompt(item, unit, growth):
    keys = KEYS[(ITEMS.index(item) + UNITS.index(unit)) % len(KEYS)]
    assert growth(lambda text: ask(item, text, keys, text), unit, "answer", length=20_000) < 9


@pytest.mark.parametrize("unit", UNITS[::4])
def test_a_prompt_of_a_megabyte_is_answered(unit):
    text = unit * (1_000_000 // len(unit))
    for item in ITEMS:
        assert ask(item, text, ("choice", "answer")).completions


PIECES = [
    *("answer", "Solution", "(", ")", ":", "\n", " ", "1", "A", "7", ",", ".", "-", "e9", "[#", "]", '"', "def f(x):"),
    *("Ada Lovelace", "x + 1", "\ud800", "\x00", "é", "Error", "think step by step", "another way"),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.sampled_from(ITEMS), st.sampled_from(KEYS))
def test_no_prompt_raises(text, item, keys):
    assert len(ask(item, text, keys, text).completions) == 1


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Solution 2: 7", ["2"]),
        ("Answer (B) and Option C:", ["B", "C"]),
        ("\n\n 3. seven\n\n\n(A) eight", ["3", "A"]),
        ("candidates # 1)", ["1"]),
        ("in 3 steps", []),
        ("12.5 apples", []),
    ],
)
def test_labels_in_front_of_answers_are_found(text, labels):
    assert [match.group(1) or match.group(2) for match in LABEL.finditer(text)] == labels
