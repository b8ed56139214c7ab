"""MGSM: 250 grade-school word problems, each in eleven languages."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from w4s_gym.benchmark import Benchmark, Grading, Item, either_grader, grading_context
from w4s_gym.data import DataFile, HubSource, Row, cached_load, load_rows
from w4s_gym.errors import ConfigError
from w4s_gym.scoring.number import score_number, score_text_as_published
from w4s_gym.workflows import seed_workflows

CHECKSUMS = {
    "en": "7cad8648780ef06b91f201ecbfa17df1695b052d89fee9da2ade88efd4f957da56aa8686",
    "es": "26a7859ff2d6626c2996551f9c9881214a94eb52c234f9417d2d650bc88e3d155d839b26",
    "fr": "905fef584df97f8c755303ebaa3804b22b368ae5d9475ae783d980ce77ffd164deba6c01",
    "de": "317b79d6bfc3ce7cf3449e930154980fc054aa66effe7f591d54fe80bde595cb6dc83eb3",
    "ru": "2b5c3e4024321a10e758829d5d58eaa750481e7d0a296fc7ddbe9b883f55b3f1074482b6",
    "zh": "99fba4f5ce73e459ee78d40578c67d2b8809374ba892486735efb95c7b0c7da641d1a6ab",
    "ja": "82f92c7dcd24985be3daf0c8c66b013f5c9b234f529bf9a024faf18ea4194f7e7678762c",
    "th": "d0388ac41e02dfac3824fb6cc09c1c75f9c5e9a544e7a5dd164a7a5a445e50ddded167a4",
    "sw": "13a0af3f7b087e3e1704bebc82856c829ca5584ec13ae62ab06e78b80e1026777382ec43",
    "te": "9381db40bb0c9c253e46f12bde30ebbed6a3e17f1f5e4f8ec9d6e2eacac6ae0f9d8dd7dc",
    "bn": "4dd55aa815d026708ab8c5f59d5898e313debde168b7a1b2034d8c9457094ae9bab25a26",
}
"""Checksum of the original file of each language."""

REVISION = "b2f13d426afe3be8d69a7e739b36724db8b66bbc"
LANGUAGES = tuple(CHECKSUMS)
"""Codes of the eleven languages."""


def _from_hub(row: Row) -> Row:
    """The hub has the answer as a number, and few-shot fields that the file lacks."""
    return {"question": row["question"], "answer": str(row["answer_number"])}


@cached_load
def load(
    *,
    language: str | Sequence[str] = "all",
    grading: Grading = "tolerant",
    data_path: str | PathLike[str] | None = None,
    verify: bool = True,
) -> list[Item]:
    """Load the problems.

    Args:
        language: a language code, several of them, or `all`. A problem's translations stay on one side of a split.
        grading: "tolerant", or "published" to score as ADAS and W4S do: the answer is the gold text.
        data_path: file of the language, or folder of the files `mgsm_<language>.tsv`.
        verify: whether altered files are refused.
    """
    codes = LANGUAGES if language == "all" else (language,) if isinstance(language, str) else tuple(language)
    unknown = [code for code in codes if code not in LANGUAGES]
    if unknown or not codes:
        raise ConfigError(f'expected language "all" or some of {", ".join(LANGUAGES)}; got {language!r}')
    items = []
    for code in codes:
        file = DataFile(
            path=f"mgsm/mgsm_{code}.tsv",
            columns=("question", "answer"),
            fields={"question": str, "answer": str},
            records=250,
            checksum=CHECKSUMS[code],
        )
        hub = HubSource("juletxara/mgsm", "test", REVISION, configs=(code,), records=250, convert=_from_hub)
        rows = load_rows("MGSM", file=file, hub=hub, data_path=data_path, verify=verify)
        items += [
            Item(
                id=f"{code}/{number}",
                task=row["question"],
                gold=row["answer"].replace(",", ""),
                question=f"MGSM problem {number}",
                group=code,
                context=grading_context(grading),
            )
            for number, row in enumerate(rows)
        ]
    return items


BENCHMARK = Benchmark(
    name="MGSM",
    description="Grade-school arithmetic word problems, written in one of eleven languages (English, Spanish, French, "
    "German, Russian, Chinese, Japanese, Thai, Swahili, Telugu, Bengali). Two to eight steps of reasoning each.",
    answer_format='The whole number that solves the problem, without unit, as a string: {"answer": "18"}.',
    load=load,
    grade=either_grader(score_number, score_text_as_published),
    seeds=seed_workflows("number"),
    licence="CC-BY-4.0",
)
