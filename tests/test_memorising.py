"""Failures shown come from items that do not pay: a table of what was shown earns nothing, and is seen."""

import json
import re

from w4s_gym.feedback import memorising
from w4s_gym.results import Evaluation, ItemResult
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
    assert memorising(Evaluation(results, 6), {"0", "1"}) == {
        "shown": 1.0,
        "unseen": 0.25,
        "shown_items": 2,
        "unseen_items": 4,
    }
    assert memorising(Evaluation(results, 6), set()) is None
