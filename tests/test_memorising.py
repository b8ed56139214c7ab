"""Failures shown come from items that do not pay: a table of what was shown earns nothing, and is seen."""

import json
import re
from dataclasses import replace

import pytest

from w4s_gym.benchmark import get_benchmark
from w4s_gym.feedback import Memorising, memorising
from w4s_gym.results import Evaluation, ItemResult
from w4s_gym.scorer import Scorer
from w4s_gym.splits import make_split


def table_of(observation):
    """Write a workflow that knows the answers that a prompt shows, and nothing else."""
    shown = {n: str(2 * int(n)) for n in re.findall(r"Question: What is (\d+) plus", observation)}
    source = f"import re\nKNOWN = {shown!r}\ndef solver(agent, task):\n"
    source += "    return {'answer': KNOWN.get(re.search(r'Item number (\\d+)', task)[1], 'unknown')}\n"
    return shown, f"Remember.\n\n```python\n{source}```"


def test_a_table_of_what_was_shown_pays_only_where_shown_items_pay(toy_env):
    for feedback_items, pays in ((0, True), (8, False)):
        env = toy_env(feedback_items=feedback_items, validation_size=12, test_size=12)
        observation, _ = env.reset(seed=3)
        shown, action = table_of(observation)
        env.step(action)
        assert shown and (env.state.history[-1].accuracy > 0) == pays


def test_the_journal_measures_memorising(toy_env, tmp_path):
    path = tmp_path / "journal.jsonl"
    env = toy_env(feedback_items=8, validation_size=12, test_size=12, feedback_cases=2, journal=str(path))
    _, action = table_of(env.reset(seed=3)[0])
    env.step(action)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    found = [r for r in records if r["kind"] == "memorising"]
    assert len(found) == 1 and (found[0]["shown"], found[0]["unseen"], found[0]["shown_items"]) == (1.0, 0.0, 2)


def test_feedback_items_are_neither_validation_nor_test_items(toy_env):
    plain, apart = (
        toy_env(validation_size=12, test_size=12),
        toy_env(validation_size=12, test_size=12, feedback_items=8),
    )
    sides = [{item.id for item in side} for side in (apart.split.validation, apart.split.test, apart.split.feedback)]
    assert [len(side) for side in sides] == [12, 12, 8] and len(set.union(*sides)) == 32
    assert apart.split.validation == plain.split.validation and apart.split.test == plain.split.test
    assert apart.split.hash != plain.split.hash and plain.split.feedback == ()


def test_where_nothing_is_left_over_a_quarter_of_the_validation_items_is_set_apart(toy_env):
    items = [*toy_env().split.validation, *toy_env().split.test]
    split = make_split(items, 16, 1000, feedback_size=100)
    assert len(split.validation) == 12 and len(split.feedback) == 4
    assert not {i.identity for i in split.feedback} & {i.identity for i in (*split.validation, *split.test)}


def test_memorising_compares_what_was_shown_with_the_rest():
    results = tuple(ItemResult(str(i), "ok", float(i < 3)) for i in range(6))
    found = memorising(Evaluation(results, 6), {"0", "1"})
    assert found == Memorising(2.0, 2, 1.0, 4) and found.accuracies() == (1.0, 0.25)
    assert (found + found).accuracies() == (1.0, 0.25) and (found + found).unseen_items == 8
    assert memorising(Evaluation(results, 6), set()).accuracies() is None


@pytest.mark.parametrize(("options", "items"), [({}, 4), ({"validation_size": 2}, 1), ({"feedback_items": 6}, 6)])
def test_by_default_failures_are_shown_from_a_quarter_as_many_items_beside_those_that_pay(toy_env, options, items):
    env = toy_env(**{"feedback_items": None, **options})
    assert len(env.split.feedback) == items and len(env.split.validation) == (env.config.validation_size or 16)


def test_what_is_published_or_never_shown_has_no_feedback_items(toy_env, monkeypatch):
    assert toy_env("HumanEval", feedback_items=None, split="published")._parts._feedback_items() == 0
    monkeypatch.setattr("w4s_gym.parts.get_benchmark", lambda name: replace(get_benchmark("Toy"), confidential=True))
    assert toy_env(feedback_items=None).split.feedback == ()


def test_where_shown_items_pay_memorising_is_measured_on_them(toy_env):
    env = toy_env(feedback_items=0, validation_size=12, feedback_cases=2)
    _, action = table_of(env.reset(seed=3)[0])
    env.step(action)
    assert env.memorising.accuracies() == (1.0, 0.0) and env.memorising.shown_items == 2
    env.reset(seed=3)
    env.step(action)
    assert env.memorising.shown_items == 2, "what is played again counts once"


def test_the_scorer_tells_what_it_has_shown(toy_env):
    with Scorer(toy_env(feedback_items=8, validation_size=12, feedback_cases=3), 0) as scorer:
        env = scorer._env
        _, text = scorer(env.benchmark.seeds[0].source)
        assert env.memorising == Memorising()
        shown = re.findall(r"What is (\d+) plus", text)
        source = env.benchmark.seeds[0].source + "# again\n"
        scorer(source)
        assert env.memorising.shown_items == len(shown) == 3
