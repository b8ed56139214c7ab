"""Numbers: formats, near misses, hostile texts."""

# ruff: noqa: RUF001  (look-alike characters are what is tested)

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.scoring.number import (
    final_number,
    find_numbers,
    score_number,
    score_number_as_published,
    score_number_or_none,
    score_text_as_published,
)

RIGHT = [
    # gold, answer
    ("18", "18"),
    ("18", " 18\n"),
    ("18", "18."),
    ("18", "18.0"),
    ("18", "18.00"),
    ("18", "+18"),
    ("18", "$18"),
    ("18", "$18.00"),
    ("18", "18 dollars"),
    ("18", "18cm"),
    ("18", "18%"),
    ("18", "€18"),
    ("18", "£ 18"),
    ("18", "USD 18"),
    ("18", "Rs. 18"),
    ("18", "**18**"),
    ("18", "`18`"),
    ("18", '"18"'),
    ("18", '{"answer": "18"}'),
    ("18", "She makes 18 dollars."),
    ("18", "16 - 3 - 4 = 9, then 9 * 2 = 18"),
    ("18", "#### 18"),
    ("18", "Steps: 1, 2, 3.\n#### 18\n"),
    ("18", r"\boxed{18}"),
    ("18", r"The result is $\boxed{18}$ in 3 steps."),
    ("18", r"\boxed{7} is wrong, so \boxed{18}"),
    ("18", r"\boxed{\$18}"),
    ("18", r"\boxed{18\text{ eggs}}"),
    ("18", "The answer is 18 dollars for 3 days."),
    ("18", "The answer is: 18"),
    ("18", "The final answer is **18**, after 4 steps"),
    ("18", "Answer: 18\nThis took 3 steps."),
    ("18", "answer = 18"),
    ("18", "The answer is 9 * 2 = 18."),
    ("18", "The answer is 12. No: the answer is 18."),
    ("13", "16-3=13"),
    ("3", "16-3"),
    ("3", "it was 16 -3"),
    ("19", "covid-19"),
    ("-18", "-18"),
    ("-18", "-$18"),
    ("-18", "$-18"),
    ("-18", "\N{MINUS SIGN}18"),
    ("-18", "x = -18"),
    ("-18", "(-18)"),
    ("-5", "The answer is -5."),
    ("1450000", "1,450,000"),
    ("1,450,000", "1450000"),
    ("1450000", "$1,450,000.00"),
    ("1450000", "1.450.000"),
    ("1450000", "1\N{NO-BREAK SPACE}450\N{NO-BREAK SPACE}000"),
    ("1450000", r"1{,}450{,}000"),
    ("1450000", r"1\,450\,000"),
    ("145000", "1,45,000"),
    ("1450000", "1.45 million"),
    ("1450000", "1.45e6"),
    ("1450000", "1.45E+6"),
    ("1450000", r"1.45 \times 10^{6}"),
    ("1450000", "1.45 × 10^6"),
    ("1450000", "1.45*10**6"),
    ("2125", "2,125"),
    ("0.5", ".5"),
    ("0.5", "1/2"),
    ("0.5", r"\frac{1}{2}"),
    ("0.5", r"\dfrac{1}{2}"),
    ("1/4", "0.25"),
    ("1/4", "1/4"),
    ("1/4", "2/8"),
    ("1/4", "1 / 4 of the cake"),
    ("5/8", r"\boxed{\frac{5}{8}}"),
    ("-1/2", "-0.5"),
    ("3.5", "3 1/2"),
    ("3.5", "3,5"),
    ("4.33", "4.33 inches"),
    ("12", "১২"),
    ("2125", "२,१२५"),
    ("15", "１５"),
    ("15", "答案是15个"),
    ("15", "答え：１５"),
    ("42", "العدد ٤٢"),
    ("7", "คำตอบคือ 7"),
    ("0", "0"),
    ("0", "-0"),
    ("0", "0.000"),
    ("18", "018"),
    ("18", "18" + " " * 1000),
    ("18", "x" * 100_000 + " 18"),
    ("18", "5 6 7 \x00 18"),
    (18, "18"),
    (18.0, "18"),
    (-9867630.0, "-9,867,630"),
]

WRONG = [
    ("18", ""),
    ("18", " "),
    ("18", "eighteen"),
    ("18", "19"),
    ("18", "-18"),
    ("-18", "18"),
    ("18", "18.01"),
    ("18", "1.8"),
    ("18", "180"),
    ("18", "1 8"),
    ("18", "18 or 19"),
    ("18", "17, 18, 19"),
    ("18", "18 then 20"),
    ("18", "#### 19\n18 is not it"),
    ("18", r"\boxed{19} and not 18"),
    ("18", "The answer is 19, not 18."),
    ("18", "nan"),
    ("18", "NaN"),
    ("18", "inf"),
    ("18", "-Infinity"),
    ("18", "None"),
    ("18", "null"),
    ("18", "True"),
    ("1", "True"),
    ("18", "1e999999999"),
    ("0", "1e-999999999"),
    ("18", "18/0"),
    ("18", "9" * 5000),
    ("18", "0x12"),
    ("18", "v18.2.1"),
    ("18", "__import__('os').system('true')"),
    ("18", "{'answer': [18, 19]}"),
    ("5", "3,5"),
    ("1", "1,450,000"),
    ("1450000", "1.45"),
    ("1450000", "1,450"),
    ("0.25", "25%"),
    ("1/4", "1"),
    ("1/4", "4"),
    ("1/3", "0.33"),
    ("4.33", "4.3"),
    ("4.33", "4.333"),
    ("100", "1e3"),
    ("12345678901", "12345678902"),
    ("18", "\ud800"),
    ("18", "①⑧"),
    ("18", "Ⅹ"),
]


@pytest.mark.parametrize(("gold", "answer"), RIGHT)
def test_right(gold, answer):
    assert score_number(gold, answer) == 1.0


@pytest.mark.parametrize(("gold", "answer"), WRONG)
def test_wrong(gold, answer):
    assert score_number(gold, answer) == 0.0


@pytest.mark.parametrize(
    ("gold", "answer", "score"),
    [
        (2.0107e-06, "2.0107e-06", 1.0),
        (2.0107e-06, "0.0000020107", 1.0),
        (2.0107e-06, "0", 0.0),
        (0.05, "0", 0.0),
        (1.1766666666666667e21, "1.17666666666667e21", 1.0),
        (123456789012345680.0, "123456789012345678", 1.0),
        (1234567.891, "1234567.89", 1.0),
        (1234567.0, "1234568", 0.0),
        (9867630.0, "9867631", 0.0),
        (-0.3333333333333333, "-0.333333333", 1.0),
        (-0.3333333333333333, "-0.333", 0.0),
    ],
)
def test_relative_tolerance(gold, answer, score):
    assert score_number(gold, answer, relative=1e-6) == score


@pytest.mark.parametrize(("gold", "answer", "score"), [(0.05, "0", 1.0), (7.0, "7.09", 1.0), (7.0, "7.11", 0.0)])
def test_absolute_tolerance_as_published(gold, answer, score):
    assert score_number(gold, answer, relative=0.0, absolute=0.1) == score


@pytest.mark.parametrize(
    "answer",
    [
        "None",
        "none",
        "None.",
        "**None**",
        "#### None",
        r"\boxed{\text{None}}",
        "The answer is None.",
        "Some facts: 3 apples.\nIt cannot be determined",
        "There is not enough information to answer.",
        "insufficient information",
        "The problem can\N{RIGHT SINGLE QUOTATION MARK}t be solved",
        "unanswerable",
    ],
)
def test_unanswerable_right(answer):
    assert score_number_or_none("None", answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    ["", "0", "18", "nonesuch", "null", "N/A", "The answer is 18; none was left.", "None of the 5 apples", "no"],
)
def test_unanswerable_wrong(answer):
    assert score_number_or_none("None", answer) == 0.0


def test_none_is_no_answer_to_a_number():
    assert score_number_or_none("18", "None") == 0.0
    assert score_number_or_none("1/4", "0.25") == 1.0


@pytest.mark.parametrize("gold", ["", "None", "3 and 4", "nan"])
def test_gold_must_be_one_number(gold):
    with pytest.raises(ValueError, match="gold"):
        score_number(gold, "3")


HOSTILE = [
    "9",
    "9,",
    "1.",
    "-",
    " 1/",
    "$",
    "answer is ",
    "\\boxed{",
    "{",
    "1e",
    "####",
    "1.000",
    "\\frac{1}{",
    "১",
    "\n",
    "1 ",
    "- -",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_megabytes_are_fast(unit):
    text = unit * (1_000_000 // len(unit))
    start = time.process_time()
    score_number("5", text)
    score_number_or_none("None", text)
    assert time.process_time() - start < 1.0


@settings(deadline=None)
@given(st.text())
def test_any_text_is_scored(text):
    assert score_number("5", text) in (0.0, 1.0)
    assert score_number_or_none("None", text) in (0.0, 1.0)


@settings(deadline=None)
@given(st.integers(-(10**18), 10**18))
def test_every_integer_equals_its_spellings(number):
    for spelling in (str(number), f"{number:,}", f"The answer is {number:,} apples.", f"\\boxed{{{number}}}"):
        assert score_number(str(number), spelling) == 1.0
    assert score_number(str(number), str(number + 1)) == float(abs(number) >= 2**53)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or 1e-300 < abs(x) < 1e300))
def test_every_float_equals_its_repr(number):
    assert score_number(number, repr(number)) == 1.0


def test_order_of_numbers():
    assert [float(n) for n in find_numbers("a 1, then 2.5 and -3")] == [1, 2.5, -3]
    assert final_number("no digits") is None
    assert math.isclose(float(final_number("about 3.14")), 3.14)


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("#### Step 2: Add\n5+3=8\nThe answer is **8**", "8"),
        ("5\n#### 2. Add them\n5+3=8", "8"),
        ("#### Final Answer\n18\n", "18"),
        ("##### 7 is no marker\nThe answer is 8.", "8"),
        ("#### $1,450,000", "1450000"),
        ("#### **18** apples\nThat is for 3 days.", "18"),
        ("12 000", "12000"),
        ("The answer is 1 234 567 km", "1234567"),
        ("1.000,50", "1000.5"),
        ("Antwort: 1.234.567,25", "1234567.25"),
        ("1'000", "1000"),
        ("1’000’000", "1000000"),
        ("1_000", "1000"),
        ("2½", "2.5"),
        ("-½", "-0.5"),
        ("3⅓", "10/3"),
        (r"\frac12", "0.5"),
        ("__42__", "42"),
        ("_42_", "42"),
        ("**42**", "42"),
        ("x_1 = 42", "42"),
        ("Answer: 12 (since 12=4*3)", "12"),
        ("Answer: 12, because 3*4=12 and not 2*5=10", "12"),
        ("Answer: 3 + 4 = 7", "7"),
        ("Answer: 7 = 3 + 4", "7"),
        ("The answer is x = 7; check: 3 + 4", "7"),
        (r"\boxed 6", "6"),
        (r"\boxed6 since 5+1", "6"),
        ("**Answer**: 5, and 6 remain", "5"),
        ("<think>The answer is 3</think>4", "4"),
        ("答案：42\n检查：40+2", "42"),
        ("答案是 42。共 50 人", "42"),
        ("答え：18個 (3日)", "18"),
        ("คำตอบคือ 18\n3", "18"),
        ("La respuesta es 18. Son 3 días.", "18"),
        ("Réponse : 18\nen 3 jours", "18"),
        ("Die Antwort lautet 18. In 3 Tagen.", "18"),
        ("Ответ: 18\nза 3 дня", "18"),
        ("Jibu ni 18. Siku 3.", "18"),
        ("సమాధానం: 18\n3", "18"),
        ("উত্তর: ৪২\n৩", "42"),
    ],
)
def test_the_number_meant_is_read_in_the_forms_in_which_models_write_it(answer, number):
    assert score_number(number, answer) == 1.0


@pytest.mark.parametrize(
    "text", ["18\n#### None", "None\n#### 18", "18. The answer is None.", r"None \boxed{18}", "None. Answer: 18"]
)
def test_no_answer_is_right_for_a_number_and_for_none(text):
    assert score_number_or_none("18", text) + score_number_or_none("None", text) == 1.0


@given(
    st.lists(
        st.sampled_from(
            [
                "18",
                "None",
                "####",
                "\n",
                " ",
                "The answer is ",
                r"\boxed{",
                "}",
                "Answer: ",
                "cannot be determined",
                ".",
                "=",
                "**",
            ]
        )
    ).map("".join)
)
def test_one_answer_an_item_whatever_is_written(text):
    assert score_number_or_none("18", text) + score_number_or_none("None", text) <= 1.0


@pytest.mark.parametrize(
    "text",
    [
        "The problem does not give enough information to answer.",
        "There isn't enough information.",
        "We lack sufficient data to solve this.",
        "It is impossible to determine the total.",
        "The required information is missing, so this cannot be answered.",
        "Insufficient information",
        "The answer is **None**.",
        r"\boxed{\text{None}}",
        "#### None (the price is missing)",
        "Unanswerable.",
    ],
)
def test_words_for_none_are_read(text):
    assert score_number_or_none("None", text) == 1.0


def test_the_published_graders_are_kept_as_they_are():
    assert score_number_as_published("8", "#### 8\nStep 2") == 0.0 == score_number_as_published("8", "no number")
    assert score_number_as_published("1450000", "so 1,450,000") == 1.0
    assert score_text_as_published("18", "18") == score_text_as_published("2,125", "2125") == 1.0
    assert score_text_as_published("18", "18.0") == 1.0 and score_text_as_published("18", "$18") == 0.0


@pytest.mark.parametrize(
    "unit",
    [
        "answer is ",
        "#### ",
        "#### 1. a\n",
        r"\boxed ",
        "1 000",
        "1'000",
        "(",
        "_",
        "not ",
        "答案：",
        "½",
        "1=",
        "1.000,",
        "missing ",
    ],
)
def test_work_does_not_grow_beyond_the_tail(unit, growth):
    assert growth(lambda text: score_number_or_none("None", text), unit) < 9
