"""GSM8K: grade-school word problems in English."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import DataFile, HubSource, cached_load, load_rows, published_ids
from w4s_gym.errors import ConfigError, DataCorrupt
from w4s_gym.scoring.number import score_number
from w4s_gym.workflows import seed_workflows

_FIELDS = {"question": str, "answer": str}
FILES = {
    "test": DataFile(
        "gsm8k/test.jsonl",
        _FIELDS,
        1319,
        "100d2d8fd2f9d78013559394bfa34fb9c2f01ee61c67e623b41f82ab2a61257a038d6c84209a5b8233743004797423ec",
    ),
    "train": DataFile(
        "gsm8k/train.jsonl",
        _FIELDS,
        7473,
        "01e3e8e892b4d698192ead648b2248a1fae702e9888ccfbf24e2136b202fe4b697b71e01"
        "00ebc7083aaf52a1233bdbf4551f9c76ead6b340",
    ),
}
REVISION = "cc7b047b6e5bb11b4f1af84efc572db110a51b3c"


@cached_load
def load(
    *, part: Literal["test", "train"] = "test", data_path: str | PathLike[str] | None = None, verify: bool = True
) -> list[Item]:
    """Load the problems.

    Args:
        part: `test` (1,319 problems) or `train` (7,473).
        data_path: file, or folder that holds it.
        verify: whether an altered file is refused.
    """
    if part not in FILES:
        raise ConfigError(f'expected part "test" or "train"; got {part!r}')
    hub = HubSource("openai/gsm8k", part, REVISION, configs=("main",), records=FILES[part].records)
    rows = load_rows("GSM8K", file=FILES[part], hub=hub, data_path=data_path, verify=verify)
    items = []
    for number, row in enumerate(rows):
        solution, mark, gold = row["answer"].rpartition("####")
        if not mark:
            raise DataCorrupt(f"GSM8K {part}, row {number + 1}: expected an answer after ####; got {solution[-40:]!r}")
        items.append(Item(id=f"{part}/{number}", task=row["question"], gold=gold.strip().replace(",", "")))
    return items


def _published_split(items: Sequence[Item]) -> tuple[list[str], list[str]]:
    """Row numbers of the test file, as AFlow and W4S split it (264 and 1,055)."""
    validation, test = published_ids("gsm8k")
    return [f"test/{row}" for row in validation], [f"test/{row}" for row in test]


BENCHMARK = Benchmark(
    name="GSM8K",
    description="Grade-school arithmetic word problems in English. Two to eight steps of reasoning each.",
    answer_format='The number that solves the problem, without unit, as a string: {"answer": "18"}.',
    load=load,
    grade=pure_grader(score_number),
    seeds=seed_workflows("number"),
    validation_size=264,
    test_size=1055,
    published_split=_published_split,
)
