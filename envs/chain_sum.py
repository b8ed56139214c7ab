"""ChainSum: sums and differences, or one-step word problems, easy enough for small real executors."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Literal

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import cached_load
from w4s_gym.errors import ConfigError
from w4s_gym.scoring.number import score_number
from w4s_gym.workflows import seed_workflows

Style = Literal["sum", "story"]

_NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Henry", "Ines", "Jonas")
_THINGS = ("apples", "books", "coins", "shells", "pencils", "marbles", "stamps", "cards", "buttons", "stickers")
_STORIES = (
    ("+", "{name} has {a} {things} and gets {b} more. How many {things} does {name} have now?"),
    ("+", "There are {a} {things} on the table and {b} in a box. How many {things} are there in all?"),
    ("-", "{name} has {a} {things} and gives {b} of them away. How many {things} are left?"),
    ("-", "{name} needs {a} {things} and has {b}. How many {things} are missing?"),
    ("*", "{name} has {a} bags with {b} {things} in each. How many {things} does {name} have?"),
    ("*", "{a} children bring {b} {things} each. How many {things} do they bring together?"),
)
_LARGEST_OPERAND = 12


@cached_load
def load(
    *,
    style: Style = "sum",
    terms: int | tuple[int, int] = 2,
    digits: int | tuple[int, int] = 2,
    size: int = 1000,
    data_seed: int = 0,
) -> list[Item]:
    """Generate the items.

    Args:
        style: `sum` for plain sums and differences, `story` for one-step word problems with operands up to 12.
        terms: number of terms of a sum, or (fewest, most).
        digits: number of digits of each term, or (fewest, most).
        size: number of items; all differ.
        data_seed: seed of the generator.
    """
    if size < 2:
        raise ConfigError(f"expected at least 2 items; got size={size}")
    tries = 20 * size + 1000
    if style == "sum":
        pairs = _sums(_range("terms", terms), _range("digits", digits), data_seed, tries)
    elif style == "story":
        pairs = _stories(data_seed, tries)
    else:
        raise ConfigError(f'expected style "sum" or "story"; got {style!r}')
    items: dict[str, Item] = {}
    for task, gold in pairs:
        items.setdefault(task, Item(id=f"{style}/{data_seed}/{len(items)}", task=task, gold=gold, group=style))
        if len(items) == size:
            return list(items.values())
    raise ConfigError(f"expected size={size} different items; only {len(items)} came up. Lower `size`.")


def _range(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    low, high = (value, value) if isinstance(value, int) else value
    if not 1 <= low <= high or (name == "terms" and low < 2):
        raise ConfigError(f"expected {name} as a positive number (terms: at least 2) or a rising pair; got {value!r}")
    return low, high


def _sums(terms: tuple[int, int], digits: tuple[int, int], seed: int, tries: int) -> Iterator[tuple[str, str]]:
    import reasoning_gym

    entries = reasoning_gym.create_dataset(
        "chain_sum",
        min_terms=terms[0],
        max_terms=terms[1],
        min_digits=digits[0],
        max_digits=digits[1],
        seed=seed,
        size=tries,
    )
    for entry in entries:
        yield entry["question"], entry["answer"]


def _stories(seed: int, tries: int) -> Iterator[tuple[str, str]]:
    random = Random(seed)
    for _ in range(tries):
        operation, story = random.choice(_STORIES)
        a, b = random.randint(1, _LARGEST_OPERAND), random.randint(1, _LARGEST_OPERAND)
        if operation == "-":
            a, b = max(a, b), min(a, b)
        gold = {"+": a + b, "-": a - b, "*": a * b}[operation]
        yield story.format(name=random.choice(_NAMES), things=random.choice(_THINGS), a=a, b=b), str(gold)


BENCHMARK = Benchmark(
    name="ChainSum",
    description="Short arithmetic problems: sums and differences of a few numbers, or one-step word problems.",
    answer_format='The whole number that is the result, as a string: {"answer": "-42"}.',
    load=load,
    grade=pure_grader(score_number),
    seeds=seed_workflows("number"),
    licence="Apache-2.0",
)
