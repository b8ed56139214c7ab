"""Scores answers that are numbers: commas, signs, currencies, units, exponents, fractions, digits of any script."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from w4s_gym.benchmark import never_blocks
from w4s_gym.scoring.text import marked_answers, tail

LONGEST_NUMBER = 400
"""Most digits, and largest exponent, of a text that is still read as a number: keeps exact arithmetic cheap."""

_PUBLISHED_TAIL = 20_000

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
        "\N{FRACTION SLASH}": "/",
        "\N{MULTIPLICATION SIGN}": "*",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    }
)
_FRACTION = re.compile(r"\\[dt]?frac[ ]?\{(\d{1,400})\}[ ]?\{(\d{1,400})\}")
_POWER_OF_TEN = re.compile(r"(?<=\d)[ ]?(?:x|\*|\\times|\\cdot)[ ]?10(?:\^|\*\*)\{?([-+]?\d++)\}?")
_CURRENCY = re.compile(r"(?:\\?[$€£¥₹]|\b(?:USD|EUR|GBP|INR|Rs\.?))[ ]?(?=-?[.\d])")
_DOTTED_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,40}(?![\d])")
_SPACED_GROUPS = re.compile(r"(?<=\d)(?:[\u00a0\u2009\u202f'_]|\\,|\{,\}|,\\!)(?=\d{3}(?!\d))")
_PLAIN_SPACED_GROUPS = re.compile(r"(?<![\w.,/])\d{1,3}(?: \d{3}){1,20}(?![\w/]| ?\d)")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){1,40},\d{1,40}(?![\d.,]\d)")
_SHORT_FRACTION = re.compile(r"\\[dt]?frac[ ]?(\d)[ ]?(\d)")
_EMPHASIS = re.compile(r"(?<![\w\\])_{1,3}(?=[^\s_])|(?<=[^\s_\\])_{1,3}(?!\w)")
_REMARK = re.compile(
    r"\s[(\[]|[\uff08;\uff1b]|,?\s(?:since|because|as|given|where|which|not|rather|instead|i\.e\.|that is)\b",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
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
    return _numbers(_plain(text))


def _numbers(text: str) -> list[Fraction]:
    return [value for match in _NUMBER.finditer(text) if (value := _value(text, match)) is not None]


class Unanswerable:
    """The final answer of a reply which says that the question has no answer."""


UNANSWERABLE = Unanswerable()


def final_answer(reply: str) -> Fraction | Unanswerable | None:
    r"""Return the one answer that a reply ends with: a number, that there is none, or None if it names neither.

    A marked part decides: after `####`, in `\boxed{}`, after "answer is". Of several the first that holds a number or
    says that the question cannot be answered, in the order of `marked_answers`. Without one the last number counts,
    unless the last line, or a reply without numbers, says that there is no answer.
    """
    text = tail(reply)
    for part in marked_answers(text):
        if _says_unanswerable(part):
            return UNANSWERABLE
        number = _number_of_part(part)
        if number is not None:
            return number
    lines = text.strip().splitlines()
    if lines and _says_unanswerable(lines[-1]):
        return UNANSWERABLE
    numbers = find_numbers(text)
    if not numbers and _says_unanswerable(text):
        return UNANSWERABLE
    return numbers[-1] if numbers else None


def final_number(reply: str) -> Fraction | None:
    """Return the number a reply ends with (see `final_answer`), or None."""
    answer = final_answer(reply)
    return answer if isinstance(answer, Fraction) else None


def _number_of_part(part: str) -> Fraction | None:
    """Return the number that a marked part means, without remarks behind it and the way to it (`3 + 4 = 7`)."""
    plain = _plain(part)
    digit = _DIGIT.search(plain)
    remark = _REMARK.search(plain, digit.end()) if digit else None
    sides = [_numbers(side) for side in (plain[: remark.start()] if remark else plain).split("=")]
    sides = [side for side in sides if side]
    alone = [side for side in sides if len(side) == 1]
    return (alone or sides)[-1][0] if sides else None


def numbers_match(gold: Fraction, answer: Fraction, *, relative: float = 1e-9, absolute: float = 0.0) -> bool:
    """Compare two numbers: whole ones exactly, others within `relative * |gold| + absolute`."""
    if absolute == 0 and gold.denominator == 1 and answer.denominator == 1 and abs(gold) < _EXACT_BELOW:
        return gold == answer
    return abs(gold - answer) <= Fraction(relative) * abs(gold) + Fraction(absolute)


@never_blocks
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


_PUBLISHED_NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?|\d+\.\d+")


@never_blocks
def score_number_as_published(gold: str | int | float, answer: str) -> float:
    """Return 1.0 if the last number of `answer` is within 1e-6 of `gold`: the rule of AFlow's grader of GSM8K."""
    numbers = _PUBLISHED_NUMBER.findall(answer[-_PUBLISHED_TAIL:])
    return float(bool(numbers) and abs(float(numbers[-1].replace(",", "")) - float(gold)) <= 1e-6)


@never_blocks
def score_text_as_published(gold: str, answer: str) -> float:
    """Return 1.0 if `answer` is the text of `gold`, commas and zeros behind a point aside: `score_mgsm` of ADAS.

    It stems from openai/simple-evals.
    """
    given = answer[:_PUBLISHED_TAIL]
    if "." in given:
        given = given.rstrip("0").rstrip(".")
    return float(given.replace(",", "") == str(gold).replace(",", ""))


_UNANSWERABLE = re.compile(
    r"\bnone\b(?!\s+of\b)|\b(?:can ?not|can't|could not|couldn't|impossible to|not possible to|unable to) "
    r"(?:be )?(?:answer|determin|calculat|comput|solv|find|know)\w*"
    r"|(?:\bnot?\b|n't\b|\black\w*|\bwithout\b)[^.\n]{0,40}"
    r"\b(?:enough|sufficient|adequate) (?:information|data|details|facts)\b"
    r"|\b(?:insufficient|incomplete|missing|lacks?|lacking|not enough) (?:information|data|details|facts)\b"
    r"|\b(?:information|data) (?:is|are) (?:insufficient|missing|not (?:given|provided|stated|known|sufficient))\b"
    r"|\bun(?:answerable|solvable|determined)\b|\bno (?:solution|answer)\b",
    re.IGNORECASE,
)
_NONE_FIRST = re.compile(
    r"[\s*_`\"'$\\{(]*(?:text\{)?none\b(?=[ \t]{0,3}(?:$|[.,;:!)(\[}*_`\"'$\n\u2014-]))", re.IGNORECASE
)


def _says_unanswerable(part: str) -> bool:
    """Whether a part says that there is no answer, and does not name a number all the same."""
    part = part.translate(_LOOKALIKES)
    if _NONE_FIRST.match(part):
        return True
    return _UNANSWERABLE.search(part) is not None and not find_numbers(part)


@never_blocks
def score_number_or_none(gold: str, answer: str) -> float:
    """Score like `score_number`; the gold "None" asks for a reply that says the question has no answer.

    A reply has one answer (`final_answer`), so none is right for a number and for "None".
    """
    if gold != "None":
        return score_number(gold, answer)
    return float(final_answer(answer) is UNANSWERABLE)


def _plain(text: str) -> str:
    """Write look-alike characters, LaTeX fractions, powers of ten, currencies and group marks in one plain way."""
    if not text.isascii():
        text = text.translate(_LOOKALIKES)
        text = _ascii(text)
    if "_" in text:
        text = _EMPHASIS.sub("", text)
    text = _SPACED_GROUPS.sub("", text)
    text = _PLAIN_SPACED_GROUPS.sub(lambda match: match[0].replace(" ", ""), text)
    text = _DECIMAL_COMMA.sub(lambda match: match[0].replace(".", "").replace(",", "."), text)
    text = _SHORT_FRACTION.sub(r"\1/\2", text)
    text = _FRACTION.sub(r"\1/\2", text)
    text = _CURRENCY.sub("", text)
    text = _POWER_OF_TEN.sub(r"e\1", text)
    return _DOTTED_GROUPS.sub(lambda match: match[0].replace(".", ""), text)


def _ascii(text: str) -> str:
    """Write digits of any script as ASCII digits, and fractions such as \u00bd as 1/2 or, behind a digit, as " 1/2"."""
    written: list[str] = []
    for character in text:
        if character.isascii():
            written.append(character)
        elif unicodedata.decomposition(character).startswith("<fraction>"):
            gap = " " if written and written[-1].isdigit() else ""
            written.append(gap + unicodedata.normalize("NFKC", character).replace("\N{FRACTION SLASH}", "/"))
        else:
            written.append(str(unicodedata.decimal(character, character)))
    return "".join(written)


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
