"""DROP: questions on a passage whose answers take counting, sorting or arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import DataFile, HubSource, Row, cached_load, load_rows, published_ids
from w4s_gym.scoring.f1 import score_drop
from w4s_gym.workflows import seed_workflows

FILE = DataFile(
    "drop/drop_v0_dev.jsonl.gz",
    {"context": str, "ref_text": str},
    9536,
    "086fc532f8d827bb883cf1bfe91209a47a3933660430fb768607b56093bdd188caa37452"
    "39e3f8e987fa1d5d6007ca7776a8c1b03211c0de945f0faf",
)


def _from_hub(row: Row) -> Row:
    """The hub keeps passage, question and the structure of answers apart; the file joins them in texts."""
    validated = row["validated_answers"]
    if isinstance(validated, Mapping):  # a list of records comes back as a record of lists
        validated = [dict(zip(validated, values, strict=True)) for values in zip(*validated.values(), strict=True)]
    answers = [_answer_text(answer) for answer in [row["answer"], *validated]]
    return {
        "context": f"Passage: {row['passage']}\nQuestion: {row['question']}\nAnswer:",
        "ref_text": "|".join(answer for answer in answers if answer),
    }


def _answer_text(answer: Mapping[str, Any]) -> str:
    if answer["number"]:
        return str(answer["number"])
    if answer["spans"]:
        return " and ".join(answer["spans"])
    date = answer["date"]
    return " ".join(part for part in (date["day"], date["month"], date["year"]) if part)


# The repository holds one question twice; its repeat is dropped with the other repeats when a split is made.
HUB = HubSource("EleutherAI/drop", "validation", "619386fc7ffe6dace3cc6d3483c69b164ebf6bf3", convert=_from_hub)


@cached_load
def load(*, data_path: str | PathLike[str] | None = None, verify: bool = True) -> list[Item]:
    """Load the 9,536 questions of the development set (8,998 differ; splits leave repeats out).

    Args:
        data_path: `drop_v0_dev.jsonl.gz`, or a folder that holds it.
        verify: whether an altered file is refused.
    """
    rows = load_rows("DROP", file=FILE, hub=HUB, data_path=data_path, verify=verify)
    return [
        Item(
            id=str(number),
            task=row["context"].removesuffix("\nAnswer:"),
            gold=list(dict.fromkeys(row["ref_text"].split("|"))),
            kind="text",
        )
        for number, row in enumerate(rows)
    ]


def _published_split(items: Sequence[Item]) -> tuple[list[str], list[str]]:
    """Line numbers, as AFlow and W4S split the file (200 and 800; three test rows repeat validation questions)."""
    validation, test = published_ids("drop")
    return [str(row) for row in validation], [str(row) for row in test]


BENCHMARK = Benchmark(
    name="DROP",
    description="A passage and a question on it. Answers are numbers, dates or short spans of text; many take "
    "counting, comparing, sorting or arithmetic.",
    answer_format="The number, date or shortest span that answers the question, as a string without a sentence: "
    '{"answer": "25 to 44"}. Several spans are joined by " and " or given as a JSON list in the string.',
    load=load,
    grade=pure_grader(score_drop),
    seeds=seed_workflows("text"),
    published_split=_published_split,
    metric="f1",
    licence="CC-BY-SA-4.0",
)
