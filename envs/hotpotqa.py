"""HotpotQA: questions that take facts from two of ten paragraphs."""

from __future__ import annotations

from os import PathLike

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import DataFile, HubSource, Row, cached_load, load_rows
from w4s_gym.scoring.f1 import score_hotpotqa
from w4s_gym.workflows import seed_workflows

FILE = DataFile(
    "hotpotqa/hotpotqa_validate_aflow200.jsonl.gz",
    {"_id": (str, int), "question": str, "answer": str, "type": str, "context": list},
    200,
    "4cbd99a05b4ce6e7cef13cf0e40ce5fb64bb6651e9060a04e7b9f43cc684c2f9c5a7dccf",
)
CLOSED_BOOK_FILE = DataFile(
    "hotpotqa/hotpot_dev_v1_simplified.json.gz",
    {"question": str, "answer": str, "type": str},
    7405,
    "7fee898dbdeb747d2c418d042dd7f46f0e26e07e863c401cddcae59be4f88ab8c8641fe8d18174437dea4364aba17f2451cf48d5836c492e",
)


def _from_hub(row: Row) -> Row:
    """The hub has `id` for `_id`, and titles and sentences in two parallel lists."""
    context = row["context"]
    paragraphs = [list(pair) for pair in zip(context["title"], context["sentences"], strict=True)]
    return {**row, "_id": row["id"], "context": paragraphs}


HUB = HubSource(
    "hotpotqa/hotpot_qa",
    "validation",
    "1908d6afbbead072334abe2965f91bd2709910ab",
    configs=("distractor",),
    records=7405,
    convert=_from_hub,
)


@cached_load
def load(*, closed_book: bool = False, data_path: str | PathLike[str] | None = None, verify: bool = True) -> list[Item]:
    """Load the questions: 200 with ten paragraphs each from the file, or all 7,405 of the hub.

    Args:
        closed_book: the 7,405 questions without paragraphs.
        data_path: file, or folder that holds it.
        verify: whether an altered file is refused.
    """
    file = CLOSED_BOOK_FILE if closed_book else FILE
    rows = load_rows("HotpotQA", file=file, hub=HUB, data_path=data_path, verify=verify)
    return [
        Item(
            id=str(number) if closed_book else str(row["_id"]),
            task=row["question"] if closed_book else _task(row),
            gold=row["answer"],
            kind="text",
            question=row["question"],
            group=row["type"],
        )
        for number, row in enumerate(rows)
    ]


def _task(row: Row) -> str:
    paragraphs = "\n\n".join(f"[{title}] {''.join(sentences).strip()}" for title, sentences in row["context"])
    return f"Context:\n{paragraphs}\n\nQuestion: {row['question']}"


BENCHMARK = Benchmark(
    name="HotpotQA",
    description="Ten paragraphs and a question that takes facts from two of them: bridging from one to the other, or "
    "comparing both. Answers are short spans, yes or no.",
    answer_format='The shortest span that answers the question, or yes or no, as a string: {"answer": "Paris"}.',
    load=load,
    grade=pure_grader(score_hotpotqa),
    seeds=seed_workflows("text"),
    validation_size=64,
    metric="f1",
    licence="CC-BY-SA-4.0",
)
