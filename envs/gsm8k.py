"""GSM8K: grade-school word problems in English."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal

from w4s_gym.benchmark import Benchmark, Grading, Item, either_grader, grading_context
from w4s_gym.data import DataFile, HubSource, cached_load, load_rows
from w4s_gym.errors import ConfigError, DataCorrupt
from w4s_gym.scoring.number import score_number, score_number_as_published
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

# fmt: off
PUBLISHED_VALIDATION = (
    23, 29, 31, 32, 43, 44, 48, 49, 51, 54, 56, 58, 63, 65, 70, 76, 78, 81, 86, 101, 107, 109, 113, 115, 123,
    128, 155, 163, 168, 170, 174, 175, 184, 192, 196, 198, 208, 210, 218, 220, 221, 231, 233, 239, 240, 243,
    244, 247, 254, 259, 261, 265, 270, 275, 277, 282, 286, 289, 291, 296, 297, 298, 309, 322, 331, 339, 342,
    344, 346, 350, 351, 352, 358, 363, 365, 367, 371, 377, 382, 409, 410, 411, 420, 422, 425, 427, 428, 430,
    433, 438, 451, 453, 462, 478, 479, 485, 486, 493, 497, 503, 506, 514, 522, 526, 527, 532, 534, 535, 542,
    548, 549, 552, 554, 561, 567, 572, 575, 578, 582, 584, 597, 602, 605, 610, 614, 626, 628, 629, 631, 643,
    644, 654, 661, 666, 668, 670, 677, 679, 693, 700, 701, 704, 705, 706, 710, 715, 724, 727, 736, 737, 745,
    755, 759, 762, 764, 765, 770, 771, 777, 778, 781, 783, 792, 793, 802, 803, 806, 811, 816, 839, 842, 846,
    850, 852, 855, 859, 881, 886, 888, 889, 894, 895, 898, 901, 908, 912, 914, 932, 933, 939, 952, 962, 963,
    968, 970, 973, 974, 984, 998, 1002, 1003, 1004, 1009, 1010, 1018, 1031, 1033, 1036, 1040, 1043, 1046, 1052,
    1055, 1067, 1068, 1083, 1089, 1090, 1091, 1092, 1096, 1099, 1100, 1108, 1112, 1113, 1115, 1118, 1122, 1125,
    1128, 1131, 1134, 1143, 1149, 1158, 1159, 1171, 1176, 1182, 1192, 1200, 1204, 1205, 1211, 1216, 1221, 1223,
    1225, 1237, 1252, 1261, 1269, 1274, 1276, 1277, 1284, 1287, 1295, 1303, 1305, 1308, 1311, 1313,
)
# fmt: on
"""Rows of the test file that are the validation items of AFlow and W4S; the other 1,055 are the test."""


@cached_load
def load(
    *,
    part: Literal["test", "train"] = "test",
    grading: Grading = "tolerant",
    data_path: str | PathLike[str] | None = None,
    verify: bool = True,
) -> list[Item]:
    """Load the problems.

    Args:
        part: `test` (1,319 problems) or `train` (7,473).
        grading: "tolerant", or "published" to score as AFlow does: the last number counts.
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
        items.append(
            Item(
                id=f"{part}/{number}",
                task=row["question"],
                gold=gold.strip().replace(",", ""),
                context=grading_context(grading),
            )
        )
    return items


def _published_split(items: Sequence[Item]) -> tuple[list[str], list[str]]:
    validation = [f"test/{row}" for row in PUBLISHED_VALIDATION]
    return validation, [item.id for item in items if item.id not in validation]


BENCHMARK = Benchmark(
    name="GSM8K",
    description="Grade-school arithmetic word problems in English. Two to eight steps of reasoning each.",
    answer_format='The number that solves the problem, without unit, as a string: {"answer": "18"}.',
    load=load,
    grade=either_grader(score_number, score_number_as_published),
    seeds=seed_workflows("number"),
    validation_size=264,
    test_size=1055,
    published_split=_published_split,
    licence="MIT",
)
