"""`check_benchmark` passes a sound benchmark and names what is wrong with others."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from w4s_gym.benchmark import Benchmark, Item, SeedWorkflow, pure_grader, register_benchmark
from w4s_gym.scoring.number import score_number
from w4s_gym.testing import check_benchmark, reference_answer
from w4s_gym.workflows import seed_workflows

ITEMS = [Item(f"i{i}", f"How many legs have {i + 2} beetles in garden {i}?", str(6 * (i + 2))) for i in range(30)]
SOUND = Benchmark(
    name="Probe",
    description="Count legs.",
    answer_format="A number.",
    load=lambda: ITEMS,
    grade=pure_grader(score_number),
    seeds=seed_workflows("number")[:1],
    validation_size=8,
    test_size=8,
)


def check(**changes):
    register_benchmark("Probe", lambda: replace(SOUND, **changes))
    check_benchmark("Probe")


def load(change):
    return lambda: [change(i, item) for i, item in enumerate(ITEMS)]


def test_sound():
    check()


class Growing:
    def __init__(self):
        self.count = 20

    def __call__(self):
        self.count += 1
        return ITEMS[: self.count]


CODE = Item(
    "c",
    "Write f.",
    "def f(x):\n    return [x, x + 1, x + 2, x + 3]\n",
    "code",
    entry_point="f",
    hidden_tests="assert f(1)",
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"load": lambda: ITEMS[:1]}, "at least 2 items"),
        ({"load": Growing()}, "same items again"),
        ({"load": load(lambda i, item: replace(item, id="same"))}, "unique item ids"),
        ({"load": load(lambda i, item: replace(item, task="  ") if i == 3 else item)}, "item i3: expected a task"),
        ({"load": load(lambda i, item: replace(item, gold=None) if i == 4 else item)}, "item i4: expected a gold"),
        ({"load": load(lambda i, item: replace(item, gold="7") if i == 0 else item), "grade": pure_grader(
            lambda gold, answer: float(answer == gold != "7"))}, "gold answer to score 1.0"),
        ({"grade": pure_grader(lambda gold, answer: 1.0)}, "to score 0.0"),
        ({"grade": pure_grader(lambda gold, answer: 0.5)}, "to score 1.0; got 0.5"),
        ({"seeds": ()}, "at least one seed"),
        ({"seeds": (SeedWorkflow("x", "def solve(agent, task): ..."),)}, "function solver"),
        ({"seeds": SOUND.seeds * 2}, "distinct names"),
        ({"load": lambda: [CODE, replace(CODE, id="d", task="Write f so: " + CODE.gold)]}, "holds its gold answer"),
        ({"load": lambda: [CODE, replace(CODE, id="d", entry_point=None)]}, "entry point"),
    ],
)  # fmt: skip
def test_faults_are_named(changes, message):
    with pytest.raises(AssertionError, match=message):
        check(**changes)


def test_test_items_in_the_description_are_noticed():
    leak = "Count legs, for instance: " + " ".join(item.task for item in ITEMS)
    with pytest.raises(AssertionError, match=r"test item i\d+ stands in an observation"):
        check(description=leak)


def test_seed_that_draws_lots_by_itself_is_noticed():
    source = "import time\n\n\ndef solver(agent, task):\n    return {'answer': str(time.time_ns())}\n"
    with pytest.raises(AssertionError):
        check(seeds=(SeedWorkflow("clock", source),))


@pytest.mark.parametrize(("gold", "text"), [("5", "5"), (["a", "b"], "a"), (2.5, "2.5"), (-9867630.0, "-9867630.0")])
def test_reference_answer(gold, text):
    assert reference_answer(Item("i", "t", gold)) == text


def test_example_of_the_documentation(tmp_path, monkeypatch):
    """The file of docs/benchmarks.md that adds a benchmark works as it stands, and is short."""
    text = Path(__file__).parents[1].joinpath("docs/benchmarks.md").read_text(encoding="utf-8")
    source = re.search(r"```python\n(# my_benchmark\.py\n.*?)```", text, re.DOTALL)[1]
    assert len(source.splitlines()) <= 40
    rows = "".join(f'{{"question": "{item.task}", "answer": "{item.gold}"}}\n' for item in ITEMS)
    (tmp_path / "my_questions.jsonl").write_text(rows)
    (tmp_path / "my_benchmark.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(tmp_path / "my_benchmark.py"))
    check_benchmark("Mine", options={"data_path": str(tmp_path / "my_questions.jsonl")})
