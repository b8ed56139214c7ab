"""GSM-Hard: GSM8K problems with large numbers."""

from __future__ import annotations

from os import PathLike

from w4s_gym.benchmark import Benchmark, Item, RunTests, never_blocks
from w4s_gym.data import DataFile, HubSource, cached_load, load_rows
from w4s_gym.scoring.number import score_number
from w4s_gym.workflows import seed_workflows

FILE = DataFile(
    "gsm_hard/gsmhardv2.jsonl",
    {"input": str, "code": str, "target": (int, float)},
    1319,
    "a492565dd401dc5a30a424d9c45cd30dc382f712e3ffa017200052c60aae68904e1266ef7bc581cae913f7a145a08817",
)
HUB = HubSource("reasoning-machines/gsm-hard", "train", "960448f73503112d4226baeb8eb41d3fb5ae2506", records=1319)

RELATIVE_TOLERANCE = 1e-6
PUBLISHED_ABSOLUTE_TOLERANCE = 0.1
"""Tolerance of W4S and ADAS. It accepts 0 for the 41 golds that are smaller."""


@cached_load
def load(
    *, published_tolerance: bool = False, data_path: str | PathLike[str] | None = None, verify: bool = True
) -> list[Item]:
    """Load the 1,319 problems.

    Args:
        published_tolerance: score as W4S and ADAS do, within 0.1 of the gold answer, instead of within one millionth
            of its size.
        data_path: `gsmhardv2.jsonl`, or a folder that holds it.
        verify: whether an altered file is refused.
    """
    rows = load_rows("GSMHard", file=FILE, hub=HUB, data_path=data_path, verify=verify)
    return [
        Item(
            id=str(number),
            task=row["input"],
            gold=float(row["target"]),
            context={"published_tolerance": published_tolerance},
        )
        for number, row in enumerate(rows)
    ]


@never_blocks
async def grade(item: Item, answer: str, run_tests: RunTests) -> float:
    """Compare numbers under the tolerance that the item was loaded with."""
    if item.context["published_tolerance"]:
        return score_number(item.gold, answer, relative=0.0, absolute=PUBLISHED_ABSOLUTE_TOLERANCE)
    return score_number(item.gold, answer, relative=RELATIVE_TOLERANCE)


BENCHMARK = Benchmark(
    name="GSMHard",
    description="Grade-school arithmetic word problems in English in which numbers were replaced by large or unusual "
    "ones. The story may then be absurd; the arithmetic of the original solution counts, negative results included.",
    answer_format="The number that solves the problem, with all its digits and without unit, as a string: "
    '{"answer": "-9867630.0"}.',
    load=load,
    grade=grade,
    seeds=seed_workflows("number"),
    licence="Apache-2.0",
)
