"""MATH: competition problems. Loaded from the hub only, as its licence is contested."""

from __future__ import annotations

from os import PathLike
from typing import Literal

from w4s_gym.benchmark import Benchmark, Item
from w4s_gym.data import DataFile, HubSource, cached_load, load_rows
from w4s_gym.errors import ConfigError, DataCorrupt
from w4s_gym.scoring.math import grade_math
from w4s_gym.scoring.text import last_boxed
from w4s_gym.workflows import seed_workflows

SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_FIELDS: dict[str, type | tuple[type, ...]] = {"problem": str, "solution": str, "level": (str, int)}
_REPOSITORY, _REVISION = "EleutherAI/hendrycks_math", "21a5633873b6a120296cce3e2df9d5550074f4a3"
SOURCES = {
    "test": (
        DataFile("math/MATH_test.jsonl", _FIELDS),
        HubSource(_REPOSITORY, "test", _REVISION, configs=SUBJECTS, records=5000),
    ),
    "train": (
        DataFile("math/MATH_train.jsonl", _FIELDS),
        HubSource(_REPOSITORY, "train", _REVISION, configs=SUBJECTS, records=7500),
    ),
    "500": (
        DataFile("math/MATH-500.jsonl", _FIELDS),
        HubSource("HuggingFaceH4/MATH-500", "test", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", records=500),
    ),
}


@cached_load
def load(
    *,
    part: Literal["test", "train", "500"] = "test",
    level: int | None = None,
    data_path: str | PathLike[str] | None = None,
    verify: bool = True,
) -> list[Item]:
    """Load the problems.

    Args:
        part: `test` (5,000 problems), `train` (7,500) or `500` (the MATH-500 selection of `test`).
        level: only problems of this level (1 to 5); the published tables use 5.
        data_path: a jsonl file with problem, solution and level, or a folder that holds it.
        verify: whether a hub copy with another number of problems is refused.
    """
    if part not in SOURCES:
        raise ConfigError(f"expected part {', '.join(map(repr, SOURCES))}; got {part!r}")
    if level is not None and level not in range(1, 6):
        raise ConfigError(f"expected level 1 to 5 or None; got {level!r}")
    file, hub = SOURCES[part]
    items = []
    for number, row in enumerate(load_rows("MATH", file=file, hub=hub, data_path=data_path, verify=verify)):
        gold = last_boxed(row["solution"])
        if gold is None:
            raise DataCorrupt(f"MATH {part}, row {number + 1}: expected a \\boxed answer in the solution; found none")
        # "Level 3" in MATH, 3 in MATH-500; two problems of MATH have "Level ?".
        if level is None or str(row["level"]).endswith(str(level)):
            group = row.get("type") or row.get("subject") or ""
            items.append(Item(id=f"{part}/{number}", task=row["problem"], gold=gold, kind="math", group=group))
    return items


BENCHMARK = Benchmark(
    name="MATH",
    description="Problems of mathematics competitions in English, with LaTeX: algebra, counting and probability, "
    "geometry, number theory, precalculus.",
    answer_format="The final answer in LaTeX, without a sentence and without dollar signs, as a string: "
    '{"answer": "\\\\frac{1}{2}"}. A value written in another way (0.5) counts too.',
    load=load,
    grade=grade_math,
    seeds=seed_workflows("math"),
    licence="contested",
)
