"""Scores answers that are numbers: commas, signs, currencies, units, exponents, fractions, digits of any script."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from w4s_gym.scoring.text import LONGEST_TAIL, marked_answer

LONGEST_NUMBER = 400
"""Most digits, and largest exponent, of a text that is still read as a number: keeps exact arithmetic cheap."""

_EXACT_BELOW = 2**53
"""Whole golds below this size are exact even where the data stores them as floats."""

_LOOKALIKES = str.maketrans(
    {
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{FULLWIDTH HYPHEN-MINUS}": "-",
        "\N{FULLWIDTH COMMA}": ",",
        "\N{ARABIC THOUSANDS SEPARATOR}": ",",
        "\N{FULLWIDTH FULL STOP}": ".",
        "\N{ARABIC DECIMAL SEPARATOR}": ".",
        "\N{FULLWIDTH SOLIDUS}": "/",
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    }
)
_FRACTION = re.compile(r"\\[dt]?frac[ ]?\{(\d{1,400})\}[ ]?\{(\d{1,400})\}")
_POWER_OF_TEN = re.compile(r"(?<=\d)[ ]?(?:x|\*|\\times|\\cdot)[ ]?10(?:\^|\*\*)\{?([-+]?\d++)\}?")
_CURRENCY = re.compile(r"(?:\\?[$€£¥₹]|\b(?:USD|EUR|GBP|INR|Rs\.?))[ ]?(?=-?[.\d])")
_DOTTED_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,40}(?![\d])")
_SPACED_GROUPS = re.compile(r"(?<=\d)(?:[\u00a0\u2009\u202f]|\\,|\{,\}|,\\!)(?=\d{3}(?!\d))")
_GROUPED = re.compile(r"\d{1,3}(?:,\d{2,3})*,\d{3}")
# Quantifiers are possessive or bounded, so that no text makes the search backtrack for long.
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.])(?P<numeral>\d[\d,]*+(?:\.\d++)?+|\.\d++)(?:[eE](?P<exponent>[-+]?\d++)(?![A-Za-z_]))?"
    r"(?:[ ](?P<top>\d{1,9})/(?P<bottom>\d{1,9})|[ ]?/[ ]?(?P<below>\d{1,400}))?"
    r"(?:[ ]?(?P<scale>thousand|million|billion|trillion)\b)?"
)
_SCALES = {None: 1, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def find_numbers(text: str) -> list[Fraction]:
    """Return the numbers in a text, in order. Texts that no number can be made of (`1e999999`, `1/0`) are left out."""
    text = _plain(text)
    return [value for match in _NUMBER.finditer(text) if (value := _value(text, match)) is not None]


def final_number(answer: str) -> Fraction | None:
    r"""Return the number a reply ends with: after `####`, in `\boxed{}`, after "answer is", else the last one."""
    answer = answer[-LONGEST_TAIL:]
    part = marked_answer(answer)
    if part is not None:
        numbers = find_numbers(part.rpartition("=")[2])
        if numbers:
            return numbers[0]
    numbers = find_numbers(answer)
    return numbers[-1] if numbers else None


def numbers_match(gold: Fraction, answer: Fraction, *, relative: float = 1e-9, absolute: float = 0.0) -> bool:
    """Compare two numbers: whole ones exactly, others within `relative * |gold| + absolute`."""
    if absolute == 0 and gold.denominator == 1 and answer.denominator == 1 and abs(gold) < _EXACT_BELOW:
        return gold == answer
    return abs(gold - answer) <= Fraction(relative) * abs(gold) + Fraction(absolute)


def score_number(gold: str | int | float, answer: str, *, relative: float = 1e-9, absolute: float = 0.0) -> float:
    """Return 1.0 if the final number of `answer` equals `gold`, else 0.0.

    Args:
        gold: the correct number; a string may hold commas or a fraction.
        answer: the reply.
        relative: tolerance as a part of the gold's size, for numbers that are not whole.
        absolute: tolerance that is added to it; makes the comparison of whole numbers inexact too.

    Raises:
        ValueError: `gold` is no number.
    """
    golds = find_numbers(repr(gold) if isinstance(gold, float) else str(gold))
    if len(golds) != 1:
        raise ValueError(f"expected a number as gold answer; got {gold!r}")
    number = final_number(answer)
    return float(number is not None and numbers_match(golds[0], number, relative=relative, absolute=absolute))


_UNANSWERABLE = re.compile(
    r"\bnone\b|\b(?:can ?not|can't|could not|impossible to) (?:be )?(?:answer|determin|calculat|comput|solv)\w*"
    r"|\b(?:not enough|insufficient|missing) (?:information|data)\b|\bunanswerable\b",
    re.IGNORECASE,
)


def score_number_or_none(gold: str, answer: str) -> float:
    """Score like `score_number`; the gold "None" asks for a reply that says the question has no answer.

    Such a reply ends with "None", or says that it cannot be answered or that information is missing, and names no
    number as its answer.
    """
    if gold != "None":
        return score_number(gold, answer)
    answer = answer[-LONGEST_TAIL:].translate(_LOOKALIKES)
    part = marked_answer(answer)
    if part is None:
        lines = answer.strip().splitlines()
        part = lines[-1] if lines else ""
    return float(bool(_UNANSWERABLE.search(part)) and not find_numbers(part))


def _plain(text: str) -> str:
    """Write look-alike characters, LaTeX fractions, powers of ten, currencies and group marks in one plain way."""
    if not text.isascii():
        text = text.translate(_LOOKALIKES)
        text = "".join(c if c.isascii() else str(unicodedata.decimal(c, c)) for c in text)
    text = _SPACED_GROUPS.sub("", text)
    text = _FRACTION.sub(r"\1/\2", text)
    text = _CURRENCY.sub("", text)
    text = _POWER_OF_TEN.sub(r"e\1", text)
    return _DOTTED_GROUPS.sub(lambda match: match[0].replace(".", ""), text)


def _value(text: str, match: re.Match[str]) -> Fraction | None:
    numeral, exponent = match["numeral"].rstrip(","), match["exponent"] or "0"
    whole, dot, decimals = numeral.partition(".")
    if "," in whole:
        if _GROUPED.fullmatch(whole):
            whole = whole.replace(",", "")
        elif whole.count(",") == 1 and not dot:
            whole, _, decimals = whole.partition(",")  # decimal comma: 3,5
        else:
            whole = whole.rpartition(",")[2]  # a list without spaces: 1,2,3
    if len(whole) + len(decimals) > LONGEST_NUMBER or len(exponent) > 6 or abs(int(exponent)) > LONGEST_NUMBER:
        return None
    value = Fraction(int(whole + decimals or "0"), 10 ** len(decimals)) * Fraction(10) ** int(exponent)
    try:
        if match["below"]:
            value /= int(match["below"])
        if match["bottom"]:
            value += Fraction(int(match["top"]), int(match["bottom"]))
    except ZeroDivisionError:
        return None
    value *= _SCALES[match["scale"]]
    return -value if _is_negative(text, match.start()) else value


def _is_negative(text: str, start: int) -> bool:
    """Tell the sign in "-3" from the operator in "16-3" or "16 -3" and the hyphen in "covid-19"."""
    if start == 0 or text[start - 1] != "-":
        return False
    before = text[max(0, start - 20) : start - 1]
    if before[-1:].isalnum() or before[-1:] in ("-", ")", "]"):
        return False
    last = before.rstrip(" \t")[-1:]
    return not (last.isdigit() or last == ")")
