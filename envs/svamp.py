"""SVAMP: one-step word problems with varied structure."""

from __future__ import annotations

from os import PathLike

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import DataFile, HubSource, Row, cached_load, load_rows
from w4s_gym.scoring.number import score_number
from w4s_gym.workflows import seed_workflows

FILE = DataFile(
    "svamp/SVAMP.json",
    {"ID": str, "Body": str, "Question": str, "Answer": (int, float), "Type": str},
    1000,
    "a0a8f90a8fce3b2ed970a266505611b1d6b4373d666a3ccd028ad63d26693ed978907c3f1519f38ed20b39ea",
)


def _from_hub(row: Row) -> Row:
    """The hub has the answer as a string and the sentences joined in a further field."""
    return {**row, "Answer": float(row["Answer"])}


HUB = HubSource(
    "ChilleD/SVAMP", "train+test", "5e0bf1e5e7c0e9c4bc39180d224f41f3f801b7ef", records=1000, convert=_from_hub
)


@cached_load
def load(*, data_path: str | PathLike[str] | None = None, verify: bool = True) -> list[Item]:
    """Load the 1,000 problems.

    Args:
        data_path: `SVAMP.json`, or a folder that holds it.
        verify: whether an altered file is refused.
    """
    rows = load_rows("SVAMP", file=FILE, hub=HUB, data_path=data_path, verify=verify)
    # The hub deals the problems out to two parts: their own numbers give the order of the file back.
    rows.sort(key=lambda row: int(row["ID"].rpartition("-")[2]))
    return [
        Item(
            id=row["ID"],
            task=f"{row['Body'].strip()} {row['Question'].strip()}",
            gold=f"{row['Answer']:g}",
            group=row["Type"],
        )
        for row in rows
    ]


BENCHMARK = Benchmark(
    name="SVAMP",
    description="Short arithmetic word problems in English that need one or two operations; some hold numbers that do "
    "not matter.",
    answer_format='The number that solves the problem, without unit, as a string: {"answer": "18"}.',
    load=load,
    grade=pure_grader(score_number),
    seeds=seed_workflows("number"),
    licence="MIT",
)
