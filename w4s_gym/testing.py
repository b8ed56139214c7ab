"""Conformance checks for benchmarks, one's own included: `check_benchmark("MyBenchmark")`."""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
from gymnasium.utils.env_checker import check_env

from w4s_gym._loop import run_sync
from w4s_gym.benchmark import Benchmark, Item, get_benchmark
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.plugins import is_plugin
from w4s_gym.registration import env_id, find_env, register_environments
from w4s_gym.sandbox import Sandbox
from w4s_gym.scoring.code import parse_python
from w4s_gym.splits import make_split

ABSURD_ANSWERS = ("", "   \n", "zqxj vwkp", "\x00\ufffd", "[" * 3000, "zqxj " * 200_000)
"""Answers that are wrong on any benchmark, one of them a megabyte long."""

VALIDATION_SIZE, TEST_SIZE = 3, 8
"""Sizes of the splits of the environment that is checked."""

_LONGEST_GRADING = 1.0
"""Seconds of CPU time for an answer of a megabyte."""
_LONG_TEXT = 40
"""Characters from which on a text is taken to identify an item."""


def reference_answer(item: Item) -> str:
    """Return an answer that is correct: the gold one as text, the first where several are."""
    gold = item.gold[0] if isinstance(item.gold, (list, tuple)) else item.gold
    return gold if isinstance(gold, str) else repr(gold)


def check_benchmark(
    name: str, *, options: dict[str, Any] | None = None, executor: str = "sim:gpt-3.5-turbo", sample: int = 12
) -> None:
    """Check that a registered benchmark behaves as the environment needs it to.

    Checked are: items (unique ids, texts, tests of code), splits (same seed, same split; no shared question), grading
    (gold answers score 1, empty and absurd ones 0, quickly), seed workflows (they define `solver`), and the
    environment made of it (Gymnasium's own checker, the same observations from the same seed, nothing of the test
    items and no hidden test in what a policy or a workflow sees).

    Args:
        name: name of the benchmark, as registered, or `file.py:Name`.
        options: the benchmark's own options of `gym.make`, for instance `{"data_path": "mine.jsonl"}`.
        executor: executor of the environment.
        sample: number of items whose grading is checked.

    Raises:
        AssertionError: a rule is broken; the message names it.
        DataMissing: the benchmark's data is not at hand.

    Example:
        >>> check_benchmark("ChainSum", options={"size": 60}, sample=3)  # says nothing when all is well
    """
    benchmark = get_benchmark(name)
    items = benchmark.load(**(options or {}))
    check_items(items, benchmark.load(**(options or {})))
    check_splits(benchmark, items)
    check_grading(benchmark, _spread(items, sample))
    check_seeds(benchmark)
    check_environment(name, options or {}, executor)


def check_items(items: Sequence[Item], again: Sequence[Item]) -> None:
    """Check the items themselves, and that loading them again gives the same ones."""
    assert len(items) >= 2, f"expected at least 2 items; got {len(items)}"
    assert list(items) == list(again), "expected load() to return the same items again; they differ"
    ids = [item.id for item in items]
    assert len(set(ids)) == len(ids), "expected unique item ids; some are repeated"
    for item in items:
        assert item.task.strip(), f"item {item.id}: expected a task text; it is blank"
        assert item.gold not in (None, "", []), f"item {item.id}: expected a gold answer; got {item.gold!r}"
        if item.kind == "code":
            assert item.entry_point and item.entry_point.isidentifier(), f"item {item.id}: expected an entry point"
            parse_python(item.hidden_tests)
            for test in item.public_tests:
                parse_python(test)
        for secret in _secrets(item):
            assert secret not in item.task, f"item {item.id}: the task holds its gold answer or a hidden test"


def check_splits(benchmark: Benchmark, items: Sequence[Item]) -> None:
    """Check that splits depend on their seed only and share no question."""
    validation, test = (max(1, min(size, len(items) // 2)) for size in (benchmark.validation_size, benchmark.test_size))
    split = make_split(items, validation, test, seed=0)
    assert split == make_split(items, validation, test, seed=0), "expected the same split from the same seed"
    shared = {item.identity for item in split.validation} & {item.identity for item in split.test}
    assert not shared, f"expected disjoint splits; {len(shared)} questions stand on both sides"
    assert split.validation and split.test, "expected items on both sides of the split"


def check_grading(benchmark: Benchmark, items: Sequence[Item]) -> None:
    """Check that gold answers score 1, and empty, absurd and very long ones 0 within a second."""
    with Sandbox() as sandbox:
        for item in items:
            score = run_sync(benchmark.grade(item, reference_answer(item), sandbox.run_tests))
            assert score == 1.0, f"item {item.id}: expected its gold answer to score 1.0; got {score}"
        for item in items[:2]:
            for answer in ABSURD_ANSWERS:
                start = time.process_time()
                score = run_sync(benchmark.grade(item, answer, sandbox.run_tests))
                cpu_seconds = time.process_time() - start
                assert score == 0.0, f"item {item.id}: expected {answer[:20]!r} to score 0.0; got {score}"
                quick = item.kind == "code" or len(answer) < 10_000 or cpu_seconds < _LONGEST_GRADING
                assert quick, f"item {item.id}: expected a long answer to take a second at most; took {cpu_seconds:.1f}"


def check_seeds(benchmark: Benchmark) -> None:
    """Check that there are seed workflows and that each defines `solver`."""
    assert benchmark.seeds, "expected at least one seed workflow"
    for seed in benchmark.seeds:
        names = [node.name for node in parse_python(seed.source).body if isinstance(node, ast.FunctionDef)]
        assert "solver" in names, f"seed {seed.name}: expected a function solver; got {', '.join(names) or 'none'}"
    assert len({seed.name for seed in benchmark.seeds}) == len(benchmark.seeds), "expected distinct names of seeds"


def check_environment(name: str, options: dict[str, Any], executor: str) -> None:
    """Check the environment: Gymnasium's checker, determinism, and that nothing leaks."""
    register_environments()
    make = {"executor": executor, "validation_size": VALIDATION_SIZE, "test_size": TEST_SIZE, "max_turns": 2, **options}
    env = gym.make(find_env(name if is_plugin(name) else env_id(name)), **make)
    check_env(env.unwrapped, skip_render_check=True)
    env.close()
    first, second = _episode(name, make), _episode(name, make)
    assert first == second, "expected the same observations and infos from the same seed"
    benchmark = get_benchmark(name)
    split = make_split(benchmark.load(**options), VALIDATION_SIZE, TEST_SIZE)
    seen = "\n".join(first)
    for item in split.test:
        assert len(item.identity) < _LONG_TEXT or item.identity not in " ".join(seen.split()), (
            f"test item {item.id} stands in an observation"
        )
    for item in split.validation:
        for test in item.hidden_tests.splitlines():
            assert len(test) < _LONG_TEXT or test.strip() in item.task or test not in seen, (
                f"a hidden test of item {item.id} stands in an observation"
            )


_LOOK_AROUND = """Show everything that can be seen.

```python
def solver(agent, task):
    return {"answer": task[:200] + " " + repr(sorted(vars(agent))) + " " + repr(sorted(globals()))}
```
"""


def _episode(name: str, make: dict[str, Any]) -> list[str]:
    """Play two turns: a workflow that shows what it can see, then the first seed. Returns all that is observed."""
    env = gym.make(find_env(name if is_plugin(name) else env_id(name)), **make)
    design = env.unwrapped
    assert isinstance(design, WorkflowDesignEnv)
    observation, info = env.reset(seed=7)
    seen = [str(observation), repr(info)]
    for action in (_LOOK_AROUND, f"Try the first seed.\n\n```python\n{get_benchmark(name).seeds[0].source}```\n"):
        observation, reward, terminated, truncated, info = env.step(action)
        assert not truncated, "expected the executor and the sandbox to work; the episode was truncated"
        seen += [str(observation), repr((reward, terminated, truncated)), repr(info)]
    env.close()
    return seen


def _secrets(item: Item) -> list[str]:
    """Texts of a code item that only graders may see, if they are long enough to be told from chance."""
    if item.kind != "code":
        return []
    texts = [reference_answer(item).strip(), item.hidden_tests.strip()]
    return [text for text in texts if len(text) >= _LONG_TEXT]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return about `count` items from all over the list."""
    return list(items[:: max(1, len(items) // count)])[:count]
