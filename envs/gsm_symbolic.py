"""GSM-Symbolic: word problems after GSM8K's templates with fresh names and numbers, generated offline."""

from __future__ import annotations

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import cached_load
from w4s_gym.errors import ConfigError
from w4s_gym.scoring.number import score_number
from w4s_gym.workflows import seed_workflows

SUFFIX = " Give the result as your final answer. Do not include units."
"""Sentence that the generator ends each question with."""


@cached_load
def load(*, size: int = 1000, data_seed: int = 0) -> list[Item]:
    """Generate the problems.

    The generator has one level of difficulty.

    Args:
        size: number of problems; all differ.
        data_seed: seed of the generator.
    """
    if size < 2:
        raise ConfigError(f"expected at least 2 items; got size={size}")
    import reasoning_gym

    entries = reasoning_gym.create_dataset("gsm_symbolic", seed=data_seed, size=2 * size + 100)
    items: dict[str, Item] = {}
    for entry in entries:
        task = entry["question"].removesuffix(SUFFIX)
        items.setdefault(task, Item(id=f"{data_seed}/{len(items)}", task=task, gold=entry["answer"]))
        if len(items) == size:
            return list(items.values())
    raise ConfigError(f"expected size={size} different problems; the generator gave {len(items)}. Lower `size`.")


BENCHMARK = Benchmark(
    name="GSMSymbolic",
    description="Grade-school arithmetic word problems in English with freshly drawn names and numbers. Two to eight "
    "steps of reasoning each.",
    answer_format='The number that solves the problem, without unit, as a string: {"answer": "18"}.',
    load=load,
    grade=pure_grader(score_number),
    seeds=seed_workflows("number"),
    licence="Apache-2.0",
)
