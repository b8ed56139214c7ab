"""Thoughts in replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.sandbox.inside.thoughts import without_leading_thoughts, without_thoughts


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<think>a</think>b", "b"),
        ("<thinking>a</thinking>b", "b"),
        ("<THINK>a</THINK>b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("\u25c1think\u25b7a\u25c1/think\u25b7b", "b"),
        ("a</think>b", "b"),
        ("<think>a</think><think>c</think>b", "b"),
        ("<think>b", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>", "b"),
        ("b", "b"),
        ("x < y </b>", "x < y </b>"),
    ],
)
def test_thoughts_are_taken_out(text, rest):
    assert without_thoughts(text) == without_leading_thoughts(text) == rest


def test_later_tags_are_the_text_of_a_program():
    program = "why\n```python\nPROMPT = 'Think in <think> ... </think> tags'\n```"
    assert without_leading_thoughts(program) == program
    assert without_leading_thoughts(f"<think>a</think>{program}") == program
    lone = "```python\nEND = '</think>'\n```"
    assert without_leading_thoughts(lone) == lone
    assert without_thoughts("x <think>a</think>y <think>b</think>z <think>never") == "x y z "


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "[THINK]", " ", "a", "```", "\n", "<|channel|>final<|message|>"]))
)
def test_any_text_is_read(parts):
    text = "".join(parts)
    assert len(without_thoughts(text)) <= len(text) and text.endswith(without_leading_thoughts(text)[-1:])


@pytest.mark.parametrize("unit", ["<think>", "</think>", "<think></think>", "<", "[THINK]", " ", "<think>a</think>\n"])
def test_work_grows_with_the_length(unit, growth):
    assert growth(without_thoughts, unit) < 9
    assert growth(without_leading_thoughts, unit) < 9
