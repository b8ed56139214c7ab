"""GPQA: hard multiple-choice questions of the sciences. Loaded from the hub with the user's token only.

Its authors ask that questions are never published in plain text: `Benchmark.confidential` is set.
"""

from __future__ import annotations

from random import Random
from typing import Literal

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import DataFile, HubSource, Row, cached_load, load_hub_rows
from w4s_gym.errors import ConfigError
from w4s_gym.scoring.choice import score_choice
from w4s_gym.workflows import seed_workflows

RECORDS = {"diamond": 198, "main": 448, "extended": 546}
REVISION = "633f5ee89ab8ad4522a9f850766b73f62147ffdd"
_OPTIONS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
_FIELDS = DataFile("gpqa", dict.fromkeys(("Question", *_OPTIONS), str))


@cached_load
def load(*, part: Literal["diamond", "main", "extended"] = "diamond", shuffle_seed: int = 0) -> list[Item]:
    """Load the questions.

    Args:
        part: `diamond` (198 questions), `main` (448) or `extended` (546).
        shuffle_seed: seed of the order of the options; the data lists the correct one first.
    """
    if part not in RECORDS:
        raise ConfigError(f"expected part {', '.join(map(repr, RECORDS))}; got {part!r}")
    hub = HubSource("Idavidrein/gpqa", "train", REVISION, (f"gpqa_{part}",), RECORDS[part], gated=True)
    return [
        _item(row, f"{part}/{number}", shuffle_seed) for number, row in enumerate(load_hub_rows("GPQA", _FIELDS, hub))
    ]


def _item(row: Row, id: str, seed: int) -> Item:
    options = [row[name].strip() for name in _OPTIONS]
    order = list(range(4))
    Random(f"{seed}/{id}").shuffle(order)
    listing = "\n".join(f"{letter}. {options[index]}" for letter, index in zip("ABCD", order, strict=True))
    task = f"{row['Question'].strip()}\n\nOptions:\n{listing}"
    return Item(
        id=id,
        task=task,
        gold="ABCD"[order.index(0)],
        kind="choice",
        question=row["Question"],
        group=str(row.get("High-level domain") or ""),
    )


BENCHMARK = Benchmark(
    name="GPQA",
    description="Very hard multiple-choice questions of biology, physics and chemistry with four options.",
    answer_format='The letter of the correct option (A to D), as a string: {"answer": "C"}.',
    load=load,
    grade=pure_grader(score_choice),
    seeds=seed_workflows("choice"),
    validation_size=64,
    confidential=True,
    licence="CC-BY-4.0",
)
