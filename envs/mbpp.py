"""MBPP (sanitized): write a short Python function after a sentence of description."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from os import PathLike

from w4s_gym.benchmark import Benchmark, Item
from w4s_gym.data import DataFile, HubSource, Row, cached_load, load_rows
from w4s_gym.errors import DataCorrupt
from w4s_gym.scoring.code import grade_code, parse_python
from w4s_gym.workflows import seed_workflows

FILE = DataFile(
    "mbpp/sanitized-mbpp.json",
    {"task_id": int, "prompt": str, "code": str, "test_imports": list, "test_list": list},
    427,
    "a125f033c9dde1bc8db0d866ae746fd9d9921792a79ff41f13e707a0895e5c37730e13e6b8515546",
)
HUB = HubSource(
    "google-research-datasets/mbpp",
    "prompt+test+validation+train",
    "4bb6404fdc6cacfda99d4ac4205087b89d32030c",
    configs=("sanitized",),
    records=427,
)

# fmt: off
PUBLISHED_VALIDATION = (
    2, 14, 56, 58, 61, 64, 66, 67, 72, 77, 85, 88, 92, 101, 102, 103, 120, 124, 125, 127, 128, 129, 130, 131,
    135, 145, 162, 163, 223, 234, 238, 248, 250, 267, 268, 272, 276, 280, 283, 295, 305, 308, 309, 310, 389,
    392, 400, 404, 406, 408, 419, 432, 437, 451, 463, 556, 562, 566, 568, 573, 574, 577, 591, 615, 629, 726,
    728, 736, 740, 745, 751, 752, 754, 755, 756, 765, 769, 777, 783, 791, 798, 799, 801, 802, 805, 806,
)
# fmt: on
"""Ids of the validation tasks of AFlow and W4S; the other 341 are the test."""


@cached_load
def load(*, data_path: str | PathLike[str] | None = None, verify: bool = True) -> list[Item]:
    """Load the 427 tasks.

    All asserts of a task grade a solution; the first one is also its public example.

    Args:
        data_path: `sanitized-mbpp.json`, or a folder that holds it.
        verify: whether an altered file is refused.
    """
    rows = load_rows("MBPP", file=FILE, hub=HUB, data_path=data_path, verify=verify)
    return [_item(row) for row in sorted(rows, key=lambda row: int(row["task_id"]))]


def _item(row: Row) -> Item:
    entry_point, signature = _function_under_test(row)
    public, tests = row["test_list"][0], dict.fromkeys(row["test_list"])
    imports = "".join(f"{line}\n" for line in row["test_imports"])
    # One task's tests use a module that only the reference solution imports.
    own = [node for node in parse_python(row["code"]).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return Item(
        id=str(row["task_id"]),
        task=f"{row['prompt'].strip()}\n\nThe function is `{signature}`. It has to pass this test:\n{public}",
        gold=row["code"],
        kind="code",
        question=row["prompt"],
        entry_point=entry_point,
        public_tests=(public,),
        # Not wrapped in a function `check`: one task is itself named so.
        hidden_tests="\n".join(tests) + "\n",
        context={"prompt": imports, "setup": imports + "".join(f"{ast.unparse(node)}\n" for node in own)},
    )


def _function_under_test(row: Row) -> tuple[str, str]:
    """Return name and signature of the function that the first assert calls."""
    called = {
        node.func.id
        for node in ast.walk(parse_python(row["test_list"][0]))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    for node in parse_python(row["code"]).body:
        if isinstance(node, ast.FunctionDef) and node.name in called:
            return node.name, f"{node.name}({ast.unparse(node.args)})"
    raise DataCorrupt(f"MBPP task {row['task_id']}: expected a function that the first assert calls; found none")


def _published_split(items: Sequence[Item]) -> tuple[list[str], list[str]]:
    validation = [str(number) for number in PUBLISHED_VALIDATION]
    return validation, [item.id for item in items if item.id not in validation]


BENCHMARK = Benchmark(
    name="MBPP",
    description="Write a short Python function. The task is a sentence, the function's signature and one test. That "
    "one and further hidden ones decide. The one that is shown may be run with `agent.exec_test` and "
    "`agent.test_on_public_test`.",
    answer_format='The Python source of the function, with its imports and helpers: {"answer": "def f(x): ..."}. '
    "`solver(agent, task, entry_point)` also receives the function's name.",
    load=load,
    grade=grade_code,
    seeds=seed_workflows("code"),
    validation_size=86,
    test_size=341,
    published_split=_published_split,
    metric="pass@1",
    licence="CC-BY-4.0",
)
