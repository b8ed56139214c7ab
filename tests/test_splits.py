"""Splits: seeded, disjoint by question, free of repeats, hashed."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w4s_gym.benchmark import Item
from w4s_gym.errors import ConfigError
from w4s_gym.splits import make_split


def items(count, start=0):
    return [Item(str(i), f"Question {i}?", str(i)) for i in range(start, start + count)]


def test_sizes_and_seed():
    split = make_split(items(100), 20, 30, seed=0)
    assert (len(split.validation), len(split.test)) == (20, 30)
    assert split == make_split(items(100), 20, 30, seed=0)
    assert split.hash != make_split(items(100), 20, 30, seed=1).hash
    assert {i.id for i in split.validation} != {i.id for i in make_split(items(100), 20, 30, seed=1).validation}


def test_the_test_gets_what_is_left():
    split = make_split(items(50), 20, 800)
    assert (len(split.validation), len(split.test)) == (20, 30)


def test_order_of_the_data_does_not_matter():
    assert make_split(items(60), 20, 30) == make_split(items(60)[::-1], 20, 30)


def test_repeats_are_dropped():
    repeated = [*items(40), *(replace(item, id=f"again {item.id}") for item in items(40))]
    spaced = [*items(40), *(replace(item, id=f"s {item.id}", task=f"  {item.task}\n") for item in items(40))]
    assert make_split(repeated, 10, 100) == make_split(spaced, 10, 100) == make_split(items(40), 10, 100)


def test_questions_with_several_texts_stay_on_one_side():
    many = [Item(f"{lang}{i}", f"{lang} {i}", "1", question=f"problem {i}") for i in range(50) for lang in "abc"]
    split = make_split(many, 30, 80)
    assert (len(split.validation), len(split.test)) == (30, 80)
    sides = [{item.identity for item in side} for side in (split.validation, split.test)]
    assert not sides[0] & sides[1]
    assert min(len(side) for side in sides) > 10  # many questions, not all versions of a few


def test_published_lists():
    lists = (["3", "1", "1"], ["2", "4", "999"])
    split = make_split(items(10), 100, 100, kind="published", published=lists)
    assert [i.id for i in split.validation] == ["3", "1"]
    assert [i.id for i in split.test] == ["2", "4"]
    assert [i.id for i in make_split(items(10), 1, 1, kind="published", published=lists).test] == ["2"]


def test_published_lists_that_share_a_question():
    data = [*items(5), Item("copy", "Question 1?", "1")]
    split = make_split(data, 9, 9, kind="published", published=(["1"], ["copy", "2"]))
    assert [i.id for i in split.test] == ["2"]
    # A listed repeat counts even where the data holds the question under another id before.
    split = make_split(data, 9, 9, kind="published", published=(["2"], ["copy"]))
    assert [i.id for i in split.test] == ["copy"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"validation_size": 0, "test_size": 5},
        {"validation_size": 5, "test_size": 0},
        {"validation_size": 10, "test_size": 5},
        {"validation_size": 11, "test_size": 5},
        {"validation_size": 5, "test_size": 5, "kind": "published"},
        {"validation_size": 5, "test_size": 5, "kind": "published", "published": (["x"], ["y"])},
        {"validation_size": 5, "test_size": 5, "kind": "random"},
    ],
)
def test_splits_that_cannot_be_made(arguments):
    with pytest.raises(ConfigError, match="expected"):
        make_split(items(10), **arguments)


def test_one_question_in_many_texts_cannot_be_split():
    with pytest.raises(ConfigError):
        make_split([Item(str(i), str(i), "1", question="same") for i in range(9)], 3, 3)


def test_hash_covers_gold_and_order():
    base = make_split(items(10), 4, 4)
    changed = [replace(i, gold="other") if i.id == base.test[0].id else i for i in items(10)]
    assert make_split(changed, 4, 4).hash != base.hash
    assert len(base.hash) == 16


def test_same_in_another_process():
    code = (
        "from w4s_gym.benchmark import Item; from w4s_gym.splits import make_split;"
        "print(make_split([Item(str(i), f'Question {i}?', str(i)) for i in range(100)], 20, 30).hash)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == make_split(items(100), 20, 30).hash


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), min_size=4, max_size=80),
    st.integers(1, 20),
    st.integers(1, 40),
    st.integers(),
)
def test_sides_never_share_a_question(pairs, validation_size, test_size, seed):
    data = [Item(str(n), f"text {q} {t}", "1", question=f"q{q}") for n, (q, t) in enumerate(pairs)]
    try:
        split = make_split(data, validation_size, test_size, seed)
    except ConfigError:
        return
    sides = [[item.identity for item in side] for side in (split.validation, split.test)]
    assert not set(sides[0]) & set(sides[1])
    assert len(sides[0]) == validation_size and 1 <= len(sides[1]) <= test_size
    texts = [(item.identity, item.task) for item in (*split.validation, *split.test)]
    assert len(set(texts)) == len(texts)
