"""The hand-made workflows run on every kind of answer."""

import ast

import gymnasium as gym
import pytest

import w4s_gym  # noqa: F401
from w4s_gym.benchmark import Benchmark, Item, pure_grader, register_benchmark
from w4s_gym.errors import ConfigError
from w4s_gym.registration import register_environments
from w4s_gym.scoring.choice import score_choice
from w4s_gym.scoring.code import grade_code
from w4s_gym.workflows import HAND_MADE, hand_made_names, hand_made_workflow, seed_workflows

ITEMS = 6
KINDS = ("number", "text", "choice", "math", "code")
GOLD = {
    "number": "{0}",
    "text": "town {0}",
    "choice": "B",
    "math": "\\frac{{{0}}}{{7}}",
    "code": "def add_{0}(x):\n    return x + {0}\n",
}


def _score(gold, answer):
    return float(answer.strip() == gold)


def _benchmark(kind):
    def load():
        return [
            Item(
                id=f"{kind}{i}",
                task=f"Question number {i}?\nA. one\nB. two",
                gold=GOLD[kind].format(i),
                kind=kind,
                entry_point=f"add_{i}" if kind == "code" else None,
                public_tests=(f"assert add_{i}(1) == {i + 1}",) if kind == "code" else (),
                hidden_tests=f"assert add_{i}(2) == {i + 2}\n" if kind == "code" else "",
            )
            for i in range(30)
        ]

    grade = grade_code if kind == "code" else pure_grader(score_choice if kind == "choice" else _score)
    return Benchmark(f"Kind{kind}", "Questions.", "An answer.", load, grade, seed_workflows(kind), ITEMS, ITEMS)


for _kind in KINDS:
    register_benchmark(f"Kind{_kind}", lambda kind=_kind: _benchmark(kind))
register_environments()


@pytest.mark.parametrize("kind", KINDS)
def test_every_workflow_runs(kind):
    env = gym.make(f"W4S-Kind{kind}-v0").unwrapped
    names = hand_made_names(kind)
    evaluations = env.evaluate_workflows([hand_made_workflow(name, kind) for name in names])
    for name, evaluation in zip(names, evaluations, strict=True):
        assert evaluation.statuses == {"ok": ITEMS}, (name, [item.error for item in evaluation.items])
        if name != "ProgramOfThought" or kind == "number":  # a simulated program computes numbers only
            assert evaluation.accuracy > 0, name
    calls = {name: evaluation.usage.calls / ITEMS for name, evaluation in zip(names, evaluations, strict=True)}
    expected = {
        "IO": 1,
        "CoT": 1,
        "MultiPersona": 1,
        "Step-back": 2,
        "Dynamic-roles": 2,
        "CoT-SC": 6 if kind == "code" else 5,
        "MedPrompt": 8,
        "LLM-Debate": 7,
        "Quality-Diversity": 5,
    }
    for name, count in expected.items():
        assert count <= calls[name] <= 1.5 * count, name  # malformed replies are asked for again
    assert 2 <= calls["Self-Refine-3"] <= 1.5 * 7
    assert 2 <= calls["Self-Refine-5"] <= 1.5 * 11
    env.close()


@pytest.mark.parametrize("kind", KINDS)
def test_sources_are_clean(kind):
    for name in hand_made_names(kind):
        source = hand_made_workflow(name, kind)
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
        solver = next(node for node in functions if node.name == "solver")
        assert ast.get_docstring(solver), name
        assert len(solver.args.args) == (3 if kind == "code" else 2)
        assert "$" not in source
        assert max(map(len, source.splitlines())) < 240


def test_names():
    assert set(HAND_MADE) == set(hand_made_names("number")) | set(hand_made_names("code"))
    assert "ProgramOfThought" not in hand_made_names("code")
    with pytest.raises(ConfigError, match="CoT-SC"):
        hand_made_workflow("PublicTestRepair", "number")
    with pytest.raises(ConfigError):
        hand_made_workflow("ToT", "number")


def test_seeds_suit_the_kind():
    assert [seed.name for seed in seed_workflows("number")] == ["CoT", "CoT-SC", "ProgramOfThought"]
    assert [seed.name for seed in seed_workflows("code")] == ["CoT", "CoT-SC", "PublicTestRepair"]
    assert [seed.name for seed in seed_workflows("choice")] == ["CoT", "CoT-SC"]
