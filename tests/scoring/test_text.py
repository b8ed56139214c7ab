"""Finding the final answer in a reply."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.scoring.text import last_boxed, marked_answer


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5}", "5"),
        (r"\boxed {5}", "5"),
        (r"\fbox{5}", "5"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{x\right\}", None),
        (r"\boxed{1} \boxed{2", "1"),
        (r"\boxed{}", ""),
        ("boxed{5}", None),
        ("", None),
        ("}" * 10, None),
        (r"\boxed{a}}}}", "a"),
    ],
)
def test_last_boxed(text, content):
    assert last_boxed(text) == content


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("so\n#### 5 apples\nbye", "5 apples"),
        ("#### 4\n#### 5", "5"),
        ("####", None),
        (r"the answer is 4, \boxed{5}", "5"),
        ("The answer is 5.", "5"),
        ("The answer is 3.5 m. Good", "3.5 m"),
        ("Final answer:\n\n**5**", "5**"),
        ("the answer", None),
        ("Answer: ", None),
        ("nothing", None),
    ],
)
def test_marked_answer(text, part):
    assert marked_answer(text) == part


@settings(deadline=None)
@given(st.text(alphabet="\\boxed{} 5"))
def test_boxes_never_raise(text):
    content = last_boxed(text)
    assert content is None or content in text
