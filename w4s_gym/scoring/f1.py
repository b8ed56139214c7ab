"""Token F1 and exact match of HotpotQA and DROP, after the rules of their official evaluation scripts."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Sequence

from w4s_gym.benchmark import never_blocks
from w4s_gym.sandbox.inside.thoughts import without_thoughts
from w4s_gym.scoring.text import LONGEST_TAIL

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_MOST_SPANS = 100
"""A list of more answers than this is read as one text: nobody needs to align it."""


def normalize_answer(text: str) -> str:
    """Lower the case, drop punctuation and articles, and join words by single spaces (SQuAD, HotpotQA)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


@never_blocks
def score_hotpotqa(gold: str, answer: str) -> float:
    """Return HotpotQA's answer F1. The answers yes, no and noanswer have to be equal to count at all."""
    expected, given = normalize_answer(gold), normalize_answer(without_thoughts(answer[:LONGEST_TAIL]))
    if expected != given and ({expected, given} & {"yes", "no", "noanswer"}):
        return 0.0
    expected_tokens, given_tokens = Counter(expected.split()), Counter(given.split())
    common = sum((expected_tokens & given_tokens).values())
    if common == 0:
        return float(expected == given)
    precision, recall = common / given_tokens.total(), common / expected_tokens.total()
    return 2 * precision * recall / (precision + recall)


@never_blocks
def exact_match_hotpotqa(gold: str, answer: str) -> float:
    """Return 1.0 if both are equal after normalisation."""
    return float(normalize_answer(gold) == normalize_answer(without_thoughts(answer[:LONGEST_TAIL])))


@never_blocks
def score_drop(gold: Sequence[str], answer: str) -> float:
    """Return DROP's F1: the best over the annotators' answers.

    Args:
        gold: one text per annotator. The spans of one answer are joined by " and " in the data; as this cannot be
            told from a span that holds the word, both readings are tried.
        answer: the reply; a JSON list of strings stands for several spans.
    """
    spans = answer_spans(answer)
    # The official script rounds to two digits.
    return round(max((_drop_f1(reading, spans) for reading in _readings(gold)), default=0.0), 2)


@never_blocks
def exact_match_drop(gold: Sequence[str], answer: str) -> float:
    """Return 1.0 if the normalised spans are the same, in any order, as those of one annotator."""
    given = sorted(normalize_span(span) for span in answer_spans(answer))
    return float(any(sorted(map(normalize_span, reading)) == given for reading in _readings(gold)))


def answer_spans(answer: str) -> list[str]:
    """Return the spans of an answer: the strings of a JSON list, else the whole text."""
    answer = without_thoughts(answer[:LONGEST_TAIL])
    if answer.lstrip().startswith("["):
        try:
            spans = json.loads(answer)
        except (ValueError, RecursionError):  # also a number of thousands of digits
            return [answer]
        if 0 < len(spans) <= _MOST_SPANS and all(isinstance(span, (str, int, float)) for span in spans):
            return [str(span) for span in spans]
    return [answer]


def normalize_span(text: str) -> str:
    """Normalise token by token (DROP): tokens end at spaces and hyphens, and numbers are written as floats."""
    tokens = []
    for token in re.split(r"[ -]", text.lower()):
        if not _is_number(token):
            token = token.translate(_PUNCTUATION)
        if _is_number(token):
            token = str(float(token))
        tokens.append(" ".join(_ARTICLES.sub(" ", token).split()))
    return " ".join(token for token in tokens if token.strip())


def _readings(gold: Sequence[str]) -> list[list[str]]:
    readings = []
    for text in gold:
        readings.append([text])
        if " and " in text:
            readings.append(text.split(" and "))
    return readings


def _drop_f1(gold: Sequence[str], given: Sequence[str]) -> float:
    """Mean F1 over the best one-to-one alignment; spans without a partner count 0."""
    from scipy.optimize import linear_sum_assignment  # deferred: importing it takes long

    gold_bags = [set(normalize_span(span).split()) for span in gold]
    given_bags = [set(normalize_span(span).split()) for span in given]
    scores = [[_bag_f1(expected, found) for found in given_bags] for expected in gold_bags]
    rows, columns = linear_sum_assignment(scores, maximize=True)
    total = sum(scores[row][column] for row, column in zip(rows, columns, strict=True))
    return total / max(len(gold_bags), len(given_bags))


def _bag_f1(gold: set[str], given: set[str]) -> float:
    numbers = {token for token in gold if _is_number(token)}
    if numbers and not numbers & given:
        return 0.0
    if not gold and not given:
        return 1.0
    common = len(gold & given)
    return 2 * common / (len(gold) + len(given))


def _is_number(token: str) -> bool:
    try:
        float(token)
    except ValueError:
        return False
    return True
