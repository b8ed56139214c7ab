"""Letters of multiple-choice answers."""

# ruff: noqa: RUF001  (look-alike characters are what is tested)

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.scoring.choice import extract_letter, published_letter, score_choice, score_choice_as_published

FOUND = [
    ("C", "C"),
    ("c", "C"),
    (" C\n", "C"),
    ("C.", "C"),
    ("(C)", "C"),
    ("[C]", "C"),
    ("**C**", "C"),
    ("`C`", "C"),
    ('"C"', "C"),
    ("$C$", "C"),
    (r"\boxed{C}", "C"),
    (r"\boxed{\text{C}}", "C"),
    (r"$\boxed{C}$", "C"),
    (r"So we get \boxed{(C)} in the end", "C"),
    ("Ｃ", "C"),
    ("C) Unsafe practices", "C"),
    ("(C) Unsafe practices, A thing", "C"),
    ("C. Unsafe practices", "C"),
    ("**C** Unsafe practices", "C"),
    ("The answer is C", "C"),
    ("The answer is (C).", "C"),
    ("the answer is: C", "C"),
    ("The correct answer is **C**", "C"),
    ("Answer: C", "C"),
    ("answer: (C) because A and B fail", "C"),
    ("ANSWER: C", "C"),
    ("The answer is option C", "C"),
    ("A is wrong, B is wrong. The answer is (C). D would need more.", "C"),
    ("The answer is A. On reflection, the answer is C.", "C"),
    ("Answer: A\nAnswer: C", "C"),
    ("Answer: B. So the answer is C", "C"),
    ("It has to be C", "C"),
    ("A or B? I take C", "C"),
    ("I", "I"),
    ("(I)", "I"),
    ("The answer is I.", "I"),
    ("A", "A"),
    ("The answer is A", "A"),
    ("J", "J"),
    ("I think it is C", "C"),
    ("A cat is what C shows", "C"),
    ("B, I think", "B"),
    ("x" * 50_000 + "\nThe answer is (C)", "C"),
    ("**Answer**: C because option B fails", "C"),
    ("**Answer: C**, not B", "C"),
    ("Answer:\n\n**C**\n\nB is wrong", "C"),
    ("The answer is $C$, not B", "C"),
    ("The answer is: *C*, not B", "C"),
    (r"The answer is $\boxed{\textbf{(C)}}$ and not B", "C"),
    (r"Answer: \text{C}. B fails", "C"),
    ("**Answer:** The correct option is **C**, not B", "C"),
    ("Option C: vitamin A", "C"),
    ("**Option C**: vitamin A", "C"),
    (r"\boxed C", "C"),
    (r"\boxed{C: 5 B}", "C"),
    ("答案：C", "C"),
    ("<think>The answer is B</think>C", "C"),
]

NOT_FOUND = [
    "",
    " ",
    "none",
    "I think so",
    "A cat",
    "The answer is a cat",
    "The answer is K",
    "K",
    "AB",
    "ABCDEFGHIJ",
    "CC",
    "C3PO",
    "DNA",
    "It's unclear",
    "3",
    "nan",
    "inf",
    "\x00",
    "С",  # Cyrillic
    "the third option",
    "I don't know",
]


@pytest.mark.parametrize(("answer", "letter"), FOUND)
def test_found(answer, letter):
    assert extract_letter(answer) == letter
    assert score_choice(letter, answer) == 1.0
    assert score_choice("D", answer) == 0.0


@pytest.mark.parametrize("answer", NOT_FOUND)
def test_not_found(answer):
    assert extract_letter(answer) is None
    assert all(score_choice(letter, answer) == 0.0 for letter in "ABCDEFGHIJ")


@pytest.mark.parametrize("unit", ["A ", "answer is ", "answer: ", "(", "\\boxed{", "*", " ", "A", "answer:   (", "é"])
def test_megabytes_are_fast(unit):
    text = unit * (1_000_000 // len(unit))
    start = time.process_time()
    score_choice("C", text)
    assert time.process_time() - start < 1.0


@settings(deadline=None)
@given(st.text())
def test_any_text_is_scored(text):
    assert score_choice("C", text) in (0.0, 1.0)


def test_the_published_reading_is_kept_as_it_is():
    assert published_letter("The answer is (C). Answer: B") == "C"
    assert published_letter("Answer: A\nAnswer: C") == "C"
    assert published_letter("It has to be C") == "C"
    assert published_letter("The answer is $C$, not B") == "B"  # missed by the published script
    assert published_letter("none") is None
    assert score_choice_as_published("C", "The answer is C") == 1.0


@pytest.mark.parametrize("unit", ["answer is ", "answer: **", "option ", "A ", "{", r"\text{", "Answer", " "])
def test_work_does_not_grow_beyond_the_tail(unit, growth):
    assert growth(extract_letter, unit) < 9
    assert growth(published_letter, unit) < 9
