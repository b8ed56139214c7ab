import pytest
from hypothesis import given
from hypothesis import strategies as st

from w4s_gym.algos.codec import EncodedRow
from w4s_gym.algos.packing import grow, share_out

TOKENS = st.integers(0, 3)  # few, so that rows share beginnings, and some are beginnings of others


@st.composite
def rows_of_tokens(draw):
    prompts = draw(st.lists(st.lists(TOKENS, min_size=1, max_size=6), min_size=1, max_size=4))
    pairs = draw(
        st.lists(st.tuples(st.sampled_from(prompts), st.lists(TOKENS, min_size=1, max_size=6)), min_size=1, max_size=12)
    )
    return [EncodedRow(tuple(prompt), tuple(target), 1.0 + i) for i, (prompt, target) in enumerate(pairs)]


def paths(tree):
    """For each node the tokens from the root down to it, read off as the mask is."""
    return [tuple(tree.tokens[j] for j in range(i + 1) if i < tree.ends[j]) for i in range(tree.length)]


@given(rows_of_tokens())
def test_each_beginning_of_a_row_is_one_node_that_sees_just_that_beginning(rows):
    tree = grow(rows)
    beginnings = {(row.prompt + row.target)[:n] for row in rows for n in range(1, row.length + 1)}
    assert sorted(paths(tree)) == sorted(beginnings)
    assert tree.depths == [len(path) - 1 for path in paths(tree)]


@given(rows_of_tokens())
def test_each_token_of_each_target_is_predicted_from_what_comes_before_it(rows):
    tree = grow(rows)
    seen = paths(tree)
    learned = sorted((seen[p.node], p.token, p.weight) for p in tree.predictions)
    expected = [
        ((row.prompt + row.target)[: len(row.prompt) + i], token, row.weight / len(row.target))
        for row in rows
        for i, token in enumerate(row.target)
    ]
    assert learned == sorted(expected)


@given(rows_of_tokens(), st.integers(1, 30), st.integers(1, 100))
def test_rows_are_shared_out_each_once_in_tries_within_the_limit(rows, limit, width):
    trees, alone = share_out(rows, limit, width)
    assert all(tree.length <= limit for tree in trees)
    total = sum(p.weight for tree in trees for p in tree.predictions) + sum(row.weight for row in alone)
    assert total == pytest.approx(sum(row.weight for row in rows))
    assert sum(len(tree.predictions) for tree in trees) + sum(len(r.target) for r in alone) == sum(
        len(row.target) for row in rows
    )
    assert sum(tree.length for tree in trees) + sum(row.length for row in alone) <= sum(row.length for row in rows)


def row(prompt, target, weight=1.0):
    return EncodedRow(tuple(prompt), tuple(target), weight)


def test_a_prompt_with_more_rows_than_fit_is_computed_once_in_each_of_several_tries():
    rows = [row(range(10), [20 + i] * 5) for i in range(6)]
    trees, alone = share_out(rows, 20, 896)
    assert (sorted(tree.length for tree in trees), alone) == ([20, 20, 20], [])


def test_rows_that_share_little_stay_alone():
    """A chat template's first token is common to all; to attend to rows that do not belong together is not worth it."""
    rows = [row([1, *range(100 * i, 100 * i + 60)], [5] * 40) for i in range(1, 5)]
    assert share_out(rows, 4096, 32) == ([], sorted(rows, key=lambda r: r.prompt))


def test_rows_of_a_later_turn_share_the_history_of_the_first():
    first = [row(range(50), [90 + i] * 20) for i in range(3)]
    later = [row([*range(50), *[90] * 20, *range(60, 80)], [95 + i] * 20) for i in range(3)]
    (tree,), alone = share_out([*first, *later], 4096, 192)
    assert alone == []
    assert tree.length == 50 + 3 * 20 + 20 + 3 * 20
