"""GSM-Plus: GSM8K problems altered in eight ways, some of them so that they cannot be answered."""

from __future__ import annotations

from os import PathLike

from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import DataFile, HubSource, cached_load, load_rows
from w4s_gym.scoring.number import score_number_or_none
from w4s_gym.workflows import seed_workflows

FILE = DataFile(
    "gsm_plus/gsmplus_testmini.jsonl",
    {"question": str, "answer": str, "perturbation_type": str, "seed_question": str},
    2400,
    "b2fe98dfa0e886f0d921794e282581c4bf0535c85695f9e039f58a2f333f127554d41b6e238d3205c82cf108a75d9f0aa000e465",
)
HUB = HubSource("qintongli/GSM-Plus", "testmini", "3b708db57b96a16e8e3368ed2956990c0809440e", records=2400)


@cached_load
def load(*, data_path: str | PathLike[str] | None = None, verify: bool = True) -> list[Item]:
    """Load the 2,400 problems of `testmini`; their group is the kind of alteration.

    Args:
        data_path: `gsmplus_testmini.jsonl`, or a folder that holds it.
        verify: whether an altered file is refused.
    """
    rows = load_rows("GSMPlus", file=FILE, hub=HUB, data_path=data_path, verify=verify)
    return [
        Item(
            id=f"testmini/{number}",
            task=row["question"],
            gold=row["answer"].strip().replace(",", ""),
            group=row["perturbation_type"],
        )
        for number, row in enumerate(rows)
    ]


BENCHMARK = Benchmark(
    name="GSMPlus",
    description="Grade-school arithmetic word problems in English, altered to test robustness: other numbers, decimals "
    "and fractions, added or reversed steps, distracting facts. Some lack a fact and cannot be answered.",
    answer_format="The number that solves the problem (a whole number, a decimal or a fraction such as 1/4), without "
    'unit, as a string: {"answer": "18"}. If the problem cannot be answered: {"answer": "None"}.',
    load=load,
    grade=pure_grader(score_number_or_none),
    seeds=seed_workflows("number"),
    licence="CC-BY-SA-4.0",
)
