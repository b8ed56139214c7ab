"""Rows that begin alike, packed into one sequence in which what they share stands once.

Rows form a trie over their tokens: any common beginning is shared, a whole prompt or only its first lines, or, of rows
of later turns, the history. Its nodes are numbered depth first, so that the nodes below one follow it without a gap:
node j is an ancestor of node i, or i itself, if and only if `j <= i < ends[j]`. That is all that tree attention needs:
each node attends to its ancestors and has its depth as its position, as if its row stood alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from w4s_gym.algos.codec import EncodedRow


@dataclass(frozen=True)
class Prediction:
    """One token of a target: what is learned at one node."""

    node: int
    """Its logits predict the token."""
    token: int
    weight: float
    """Weight of the row, divided by the length of its target."""


@dataclass
class Tree:
    """Rows as a trie; all lists but the last have one entry per node, in depth-first order."""

    tokens: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    """Positions in the row: the root has 0."""
    ends: list[int] = field(default_factory=list)
    """Number of the first node that is no longer below this one."""
    predictions: list[Prediction] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Number of nodes."""
        return len(self.tokens)


def grow(rows: Sequence[EncodedRow]) -> Tree:
    """Build the trie of rows; rows without a common beginning share nothing, and stand side by side."""
    tree = Tree()
    path: list[int] = []
    before: tuple[int, ...] = ()
    # In sorted order a row shares most with the row before it, and what it leaves never comes again.
    for tokens, row in sorted(((row.prompt + row.target, row) for row in rows), key=lambda pair: pair[0]):
        shared = _common(before, tokens)
        del path[shared:]
        first = tree.length
        path += range(first, first + len(tokens) - shared)
        tree.tokens += tokens[shared:]
        tree.depths += range(shared, len(tokens))
        tree.ends += [0] * (len(tokens) - shared)
        for node in path:
            tree.ends[node] = tree.length
        weight = row.weight / len(row.target)
        start = len(row.prompt)
        tree.predictions += [Prediction(path[start + i - 1], token, weight) for i, token in enumerate(row.target)]
        before = tokens
    return tree


def share_out(rows: Sequence[EncodedRow], limit: int, width: int) -> tuple[list[Tree], list[EncodedRow]]:
    """Group rows into tries where that is less work than to compute each row alone.

    A token costs about 24 x `width`^2 operations in the matrices of a layer, and a pair of tokens 4 x `width` in its
    attention, where a masked pair costs what a visible one does. So a shared token saves what 6 x `width` pairs cost,
    and each row of a trie adds pairs with the nodes of all others.

    Args:
        rows: the rows of one step.
        limit: most nodes of a trie; a prompt with more rows than fit is computed once in each of several tries.
        width: size of the model's hidden states.

    Returns:
        Tries of at least two rows, and the rows that are better computed alone.
    """
    groups: list[list[EncodedRow]] = []
    size = 0
    before: tuple[int, ...] = ()
    for row in sorted(rows, key=lambda row: row.prompt + row.target):
        tokens = row.prompt + row.target
        shared = _common(before, tokens)
        joint = size + len(tokens) - shared
        more_pairs = joint**2 - size**2 - len(tokens) ** 2
        if groups and shared and joint <= limit and more_pairs < 6 * width * shared:
            groups[-1].append(row)
            size = joint
        else:
            groups.append([row])
            size = len(tokens)
        before = tokens
    return [grow(group) for group in groups if len(group) > 1], [group[0] for group in groups if len(group) == 1]


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
