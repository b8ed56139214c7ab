"""The examples in docstrings run: those of a newcomer's calls, and all others that are written."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"w4s_gym": ROOT / "w4s_gym", "w4s_gym.algos": ROOT / "algos", "w4s_gym.envs": ROOT / "envs"}

CALLS = {
    "w4s_gym": ["w4s_gym"],  # gym.make, reset, step
    "w4s_gym.action": ["parse_action", "format_action"],
    "w4s_gym.benchmark": ["get_benchmark"],
    "w4s_gym.executors": ["make_executor"],
    "w4s_gym.measuring_env": ["MeasuringEnv.evaluate_workflow", "MeasuringEnv.evaluate_test"],
    "w4s_gym.options": ["from_fields"],
    "w4s_gym.sandbox.sandbox": ["Sandbox.run_workflow"],
    "w4s_gym.testing": ["check_benchmark"],
    "w4s_gym.wrappers": ["FoldRepairs"],
}
"""The calls that a newcomer makes, by module: each has an example."""


def modules_with_examples() -> list[str]:
    found = set(CALLS)
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(folder).with_suffix("").parts
                found.add(".".join((package, *(part for part in parts if part != "__init__"))))
    return sorted(found)


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_run(name):
    module = import_module(name)
    examples = {test.name: test for test in doctest.DocTestFinder(exclude_empty=True).find(module, name)}
    for call in CALLS.get(name, ()):
        assert examples[name if call == name else f"{name}.{call}"].examples, f"{name}.{call} has no example"
    runner = doctest.DocTestRunner()
    reports: list[str] = []
    for test in examples.values():
        runner.run(test, out=reports.append)
    assert runner.failures == 0, "".join(reports)
