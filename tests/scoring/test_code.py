"""Programs against hidden tests, in the real sandbox."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.benchmark import Item
from w4s_gym.errors import SandboxUnavailable
from w4s_gym.sandbox import Sandbox
from w4s_gym.sandbox.types import ErrorReport, TestOutcome
from w4s_gym.scoring.code import LONGEST_PROGRAM, extract_program, grade_code, public_job

PROMPT = 'from typing import List\n\n\ndef double(xs: List[int]) -> List[int]:\n    """Double all."""\n'
ITEM = Item(
    id="d",
    task=PROMPT,
    gold="    return [2 * x for x in xs]\n",
    kind="code",
    entry_point="double",
    public_tests=("assert double([1]) == [2]",),
    hidden_tests="def check(f):\n    assert f([1, 2]) == [2, 4]\n    assert f([]) == []\n\ncheck(double)\n",
    context={"prompt": PROMPT, "setup": PROMPT},
)
FULL = "def double(xs):\n    return [x + x for x in xs]\n"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def grade(sandbox):
    return lambda answer, item=ITEM: asyncio.run(grade_code(item, answer, sandbox.run_tests))


@pytest.mark.parametrize(
    "answer",
    [
        ITEM.gold,
        FULL,
        PROMPT + ITEM.gold,
        f"```python\n{FULL}```",
        f"```\n{FULL}```",
        f"Here it is:\n\n```python\n{FULL}\n```\nIt doubles.",
        f"```python\ndef other(): ...\n```\n```py\n{FULL}```",
        f"```python\n{FULL}```\nUse it so:\n```python\nprint(1)\n```",
        "import functools\n" + FULL,
        "def helper(x):\n    return 2 * x\n\ndef double(xs: List[int]):\n    return list(map(helper, xs))\n",
        "double = lambda xs: [2 * x for x in xs]",
        FULL + "\nif __name__ == '__main__':\n    raise SystemExit(1)\n",
        FULL.replace("\n", "\r\n"),
        FULL + "print('x' * 100000)\n",
    ],
)
def test_passes(grade, answer):
    assert grade(answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "  \n",
        "I do not know.",
        "def double(xs):\n    return xs\n",
        "def triple(xs):\n    return [2 * x for x in xs]\n",
        "def double(xs):\n",
        "    return [2 * x for x in xs",
        "raise SystemExit(0)",
        "import sys; sys.exit(0)",
        "import os\nos._exit(0)",
        "def double(xs):\n    import os\n    os._exit(0)\n",
        "def double(xs):\n    raise SystemExit(0)\n",
        "def double(xs):\n    raise KeyboardInterrupt\n",
        "def check(candidate):\n    pass\n\ndef double(xs):\n    return 0\n",
        "class Any(list):\n    def __eq__(self, other):\n        return True\n\ndef double(xs):\n    return Any()\n",
        "class Same:\n    def __eq__(self, other):\n        return True\n\ndef double(xs):\n    return Same()\n",
        "import builtins\nbuiltins.AssertionError = BaseException\ndef double(xs):\n    return 0\n",
        "def double(xs):\n    while True:\n        pass\n",
        "\x00",
        "def double(xs):\n    return '\ud800'\n",
        "(" * 5000,
    ],
)
def test_fails(grade, answer, monkeypatch):
    from w4s_gym.sandbox.types import Limits

    monkeypatch.setattr("w4s_gym.scoring.code.TEST_LIMITS", Limits(1.0, 5.0, 10.0, 512))
    assert grade(answer) == 0.0


def test_a_program_that_is_too_long_is_not_run():
    async def never(job):
        raise AssertionError("run")

    assert asyncio.run(grade_code(ITEM, FULL + "#" * LONGEST_PROGRAM, never)) == 0.0


def test_infrastructure_is_no_score():
    async def broken(job):
        return TestOutcome("infrastructure", ErrorReport("OSError", "no processes"))

    with pytest.raises(SandboxUnavailable, match="no processes"):
        asyncio.run(grade_code(ITEM, FULL, broken))


def test_public_job_runs_the_public_examples_only(sandbox):
    job = public_job(ITEM, FULL)
    assert "[2, 4]" not in job.tests
    assert asyncio.run(sandbox.run_tests(job)).status == "ok"
    assert asyncio.run(sandbox.run_tests(public_job(ITEM, "def double(xs):\n    return 1\n"))).status == "error"


INNER = (
    'def double(xs):\n    """Double.\n\n    ```\n    double([1])\n    ```\n    """\n    return [x + x for x in xs]\n'
)


@pytest.mark.parametrize(
    "answer",
    [
        f"~~~python\n{FULL}~~~",
        f'```python title="double.py"\n{FULL}```'.replace("\n", "\r\n"),
        f"It is\n```python\n{FULL}",
        f"```python\n{FULL}```\nBroken:\n```python\ndef double(xs:\n```",
        f"<think>\n```python\ndef double(xs): ...\n```\n</think>\n```python\n{FULL}```",
        f"1. Like so:\n   ```python\n   {FULL.replace(chr(10), chr(10) + '   ')}\n   ```",
        f"```python\n{INNER}```",
        INNER,
        f"Only the body:\n```python\n{ITEM.gold}```\nUse:\n```bash\nrun\n```",
    ],
)
def test_forms_in_which_models_write_a_program_pass(grade, answer):
    assert grade(answer) == 1.0


PIECES = [
    "```",
    "~~~",
    "python",
    "\n",
    "def double(xs):",
    " ",
    "    return 1",
    '"""',
    "<think>",
    "</think>",
    "(",
    "\x00",
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_answer_gives_one_source_of_it(answer):
    assert len(extract_program(answer, "double", PROMPT)) <= len(answer)


@pytest.mark.parametrize("unit", ["```\n", "```python\ndef f(\n", "```" + " " * 97, "def f(): 1\n", "~~~\n```\n"])
def test_work_grows_with_the_length(unit, growth):
    assert growth(lambda text: extract_program(text, "f"), unit, length=LONGEST_PROGRAM // 4) < 9
