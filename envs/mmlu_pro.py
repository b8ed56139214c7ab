"""MMLU-Pro: multiple-choice questions of fourteen fields, mostly with ten options."""

from __future__ import annotations

from os import PathLike
from typing import Literal

from w4s_gym.benchmark import Benchmark, Grading, Item, either_grader, grading_context
from w4s_gym.data import DataFile, HubSource, Row, cached_load, load_rows
from w4s_gym.errors import ConfigError, DataCorrupt
from w4s_gym.scoring.choice import score_choice, score_choice_as_published
from w4s_gym.workflows import seed_workflows

LETTERS = "ABCDEFGHIJ"
FILLER = "N/A"
"""Option that some copies of the data pad the lists with."""

_FIELDS = {"question_id": int, "question": str, "options": list, "answer": str, "category": str}
FILES = {
    "test": DataFile(
        "mmlu_pro/mmlu_pro_test.jsonl.gz",
        _FIELDS,
        12032,
        "741e64ef8145641dad613f039a4feec44b3b96e67d50edd0a6ff82a6e59f80de2fd480e2"
        "5d0766a4daa07552cabc56fde160760af1c3125733d33a12",
    ),
    "validation": DataFile(
        "mmlu_pro/mmlu_pro_validation.jsonl",
        _FIELDS,
        70,
        "2690bf73b4720a5ce5c5cebb0fba228e31c7cc7411fd3221c4315b7970bbd5a5",
    ),
}
REVISION = "527feea0afed1de15a8c115abf7be4c912123315"


@cached_load
def load(
    *,
    part: Literal["test", "validation"] = "test",
    grading: Grading = "tolerant",
    data_path: str | PathLike[str] | None = None,
    verify: bool = True,
) -> list[Item]:
    """Load the questions; their group is the field.

    Args:
        part: `test` (12,032 questions) or `validation` (70, meant for few-shot prompts).
        grading: "tolerant", or "published" to score as the benchmark's own script does, guesses left out.
        data_path: file, or folder that holds it.
        verify: whether an altered file is refused.
    """
    if part not in FILES:
        raise ConfigError(f'expected part "test" or "validation"; got {part!r}')
    hub = HubSource("TIGER-Lab/MMLU-Pro", part, REVISION, records=FILES[part].records)
    rows = load_rows("MMLUPro", file=FILES[part], hub=hub, data_path=data_path, verify=verify)
    return [_item(row, grading) for row in sorted(rows, key=lambda row: int(row["question_id"]))]


def _item(row: Row, grading: Grading) -> Item:
    # The letter is the gold answer: in row 3983 the index contradicts it.
    options = [option.strip() for option in row["options"]]
    options = [option for option in options if option != FILLER]
    if row["answer"] not in LETTERS[: len(options)]:
        raise DataCorrupt(
            f"MMLUPro, question {row['question_id']}: expected an answer among {LETTERS[: len(options)]}; "
            f"got {row['answer']!r}"
        )
    listing = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    question = row["question"].strip()
    return Item(
        id=str(row["question_id"]),
        task=f"{question}\n\nOptions:\n{listing}",
        gold=row["answer"],
        kind="choice",
        question=question,
        group=row["category"],
        context=grading_context(grading),
    )


BENCHMARK = Benchmark(
    name="MMLUPro",
    description="Multiple-choice questions at university level with up to ten options, from fourteen fields "
    "(mathematics, physics, law, psychology, ...).",
    answer_format='The letter of the correct option (A to J), as a string: {"answer": "C"}.',
    load=load,
    grade=either_grader(score_choice, score_choice_as_published),
    seeds=seed_workflows("choice"),
    licence="MIT",
)
