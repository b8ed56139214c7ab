"""Validation and test splits: seeded, disjoint by question, free of repeats, hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from w4s_gym.benchmark import Item
from w4s_gym.errors import ConfigError

SplitKind = Literal["seeded", "published"]


@dataclass(frozen=True)
class Split:
    """Two disjoint lists of items."""

    validation: tuple[Item, ...]
    """Items every candidate is measured on."""
    test: tuple[Item, ...]
    """Items the selected workflow is measured on once, at the end."""
    hash: str
    """Fingerprint of ids, questions and gold answers of all lists, in order: 16 hexadecimal digits."""
    feedback: tuple[Item, ...] = ()
    """Items that failures are shown from, if these are not validation items; they never pay."""


def make_split(
    items: Sequence[Item],
    validation_size: int,
    test_size: int,
    seed: int = 0,
    kind: SplitKind = "seeded",
    published: tuple[Sequence[str], Sequence[str]] | None = None,
    feedback_size: int = 0,
) -> Split:
    """Split items so that no question stands on two sides.

    Items are repeats when identity and task agree: the first one is kept. Items that share their identity only (a
    question in several languages) stay on one side. The order is that of a hash of seed and text, so it depends
    neither on the order of the data nor on a library's random numbers.

    Args:
        items: all items of the benchmark.
        validation_size: number of validation items; with `published` the most that are taken from the list.
        test_size: largest number of test items.
        seed: seed of the order (`seeded` only).
        kind: `seeded`, or `published` to use the lists of ids in `published`.
        published: ids of (validation, test).
        feedback_size: largest number of items to show failures from: of those that validation and test leave over, and
            where that is too little, up to a quarter of the validation items.

    Raises:
        ConfigError: a size is not positive, there are too few items, or the benchmark has no published lists.
    """
    if validation_size < 1 or test_size < 1:
        raise ConfigError(f"expected split sizes of at least 1; got {validation_size} and {test_size}")
    if kind == "published":
        if published is None:
            raise ConfigError('expected kind="seeded": this benchmark has no published lists')
        validation, test = _published(items, published)
    elif kind == "seeded":
        validation, test = _seeded(items, validation_size, test_size, seed)
    else:
        raise ConfigError(f'expected kind "seeded" or "published"; got {kind!r}')
    rest = [*validation[validation_size:], *test[test_size:]]
    validation, test = validation[:validation_size], test[:test_size]
    used = {item.identity for item in (*validation, *test)}
    feedback = [item for item in rest if item.identity not in used][:feedback_size]
    lacking = min(feedback_size - len(feedback), len(validation) // 4)
    if lacking > 0:
        paying = _without_questions_of(validation[:-lacking], validation[-lacking:])
        feedback, validation = [*feedback, *validation[-lacking:]], paying
    return Split(tuple(validation), tuple(test), _hash(validation, test, feedback), tuple(feedback))


def _without_questions_of(items: Sequence[Item], others: Sequence[Item]) -> list[Item]:
    identities = {item.identity for item in others}
    return [item for item in items if item.identity not in identities]


@dataclass(frozen=True)
class _Keyed:
    """An item with its texts, which take long to normalise."""

    item: Item
    identity: str
    text: str


def _without_repeats(items: Sequence[Item]) -> list[_Keyed]:
    seen: dict[tuple[str, str], _Keyed] = {}
    for item in items:
        identity = item.identity
        text = " ".join(item.task.split()) if item.question else identity
        seen.setdefault((identity, text), _Keyed(item, identity, text))
    return list(seen.values())


def _seeded(items: Sequence[Item], validation_size: int, test_size: int, seed: int) -> tuple[list[Item], list[Item]]:
    unique = _without_repeats(items)
    groups: dict[str, list[_Keyed]] = {}
    for keyed in unique:
        groups.setdefault(keyed.identity, []).append(keyed)
    if validation_size >= len(unique) or len(groups) < 2:
        raise ConfigError(
            f"expected fewer validation items than distinct items, so that some are left for the test; "
            f"got validation_size={validation_size} with {len(unique)} items ({len(groups)} questions)"
        )
    # Questions are dealt out in proportion to the sizes, then items are drawn inside each side: with one item per
    # question this is a plain shuffle, with several (languages) both sides cover many questions.
    identities = sorted(groups, key=lambda identity: _rank(seed, identity))
    share = validation_size / (validation_size + min(test_size, len(unique) - validation_size))
    cut, count = 0, 0
    while cut < len(identities) - 1 and (count < validation_size or cut < round(share * len(identities))):
        count += len(groups[identities[cut]])
        cut += 1
    if count < validation_size:
        raise ConfigError(f"expected at most {count} validation items, so that a question is left for the test")
    sides = []
    for side in (identities[:cut], identities[cut:]):
        members = [keyed for identity in side for keyed in groups[identity]]
        members.sort(key=lambda keyed: _rank(seed, f"{keyed.identity}\n{keyed.text}"))
        sides.append([keyed.item for keyed in members])
    return sides[0], sides[1]


def _published(items: Sequence[Item], published: tuple[Sequence[str], Sequence[str]]) -> tuple[list[Item], list[Item]]:
    by_id = {item.id: item for item in items}
    validation, test = (
        [keyed.item for keyed in _without_repeats([by_id[id] for id in ids if id in by_id])] for ids in published
    )
    if not validation or not test:
        raise ConfigError("expected the published ids in the data; found none of them on at least one side")
    questions = {item.identity for item in validation}
    return validation, [item for item in test if item.identity not in questions]


def _rank(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{text}".encode("utf-8", "surrogatepass")).digest()


def _hash(validation: Sequence[Item], test: Sequence[Item], feedback: Sequence[Item]) -> str:
    sides = (validation, test, feedback) if feedback else (validation, test)
    content = [[[item.id, item.identity, item.gold] for item in side] for side in sides]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
