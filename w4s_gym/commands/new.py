"""`w4s-gym new`: a benchmark of the user's own questions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from w4s_gym.benchmark import benchmark_names
from w4s_gym.data import DataFile, Row, read_file
from w4s_gym.errors import ConfigError
from w4s_gym.options import refuse_unknown
from w4s_gym.scoring.choice import score_choice
from w4s_gym.scoring.f1 import exact_match_hotpotqa
from w4s_gym.scoring.number import score_number

Kind = Literal["number", "choice", "text"]


@dataclass(frozen=True)
class _Scorer:
    score: Callable[[str, str], float]
    module: str
    answer: str


_SCORERS: dict[Kind, _Scorer] = {
    "number": _Scorer(score_number, "w4s_gym.scoring.number", "The number, without unit, as a string"),
    "choice": _Scorer(score_choice, "w4s_gym.scoring.choice", "The letter of the correct option, as a string"),
    "text": _Scorer(exact_match_hotpotqa, "w4s_gym.scoring.f1", "The answer in a few words, as a string"),
}
"""Kind -> scorer, in the order in which they are tried: the first that gives every answer its point."""

_FEWEST = 8


@dataclass(frozen=True)
class New:
    """Make a benchmark file of a JSONL file with one question a line: splits, scorer and card, ready for `compare`."""

    data: tyro.conf.Positional[Path]
    """JSONL file, one object a line, such as `{"question": "2 + 2?", "answer": "4"}`."""
    out: Path | None = None
    """File to write; by default beside the data, with the ending `.py`."""
    name: str | None = None
    """Name of the benchmark; by default made of the file's."""
    question: str = "question"
    """Field of the question."""
    answer: str = "answer"
    """Field of the correct answer."""
    kind: Kind | None = None
    """What answers look like; by default found out. `text` is equality but for case, punctuation and articles."""
    description: str = ""
    """What the task is, for the meta-agent; you can write it into the file later."""

    def run(self) -> int:
        """Check the data, write the file and say what to do next."""
        rows = _read(self.data)
        fields = sorted(set.intersection(*(set(row) for row in rows)))
        for option, field in (("--question", self.question), ("--answer", self.answer)):
            refuse_unknown([field], fields, f"{self.data}: {option}", "fields of every line")
        pairs = [_pair(self.data, n, row, self.question, self.answer) for n, row in enumerate(rows, start=1)]
        distinct = len({" ".join(question.split()) for question, _ in pairs})
        if distinct < _FEWEST:
            raise ConfigError(f"{self.data}: expected at least {_FEWEST} different questions; got {distinct}")
        kind = _kind(self.data, self.kind, [answer for _, answer in pairs])
        name = self.name or "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", self.data.stem))
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in benchmark_names():
            raise ConfigError(f"expected a --name of letters, digits and _ that no benchmark has; got {name!r}")
        out = self.out or self.data.with_suffix(".py")
        validation = min(128, max(2, distinct // 3))
        test = min(800, distinct - validation)
        text = self._source(name, kind, distinct, validation, test, pairs[0], out)
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            raise ConfigError(
                f"expected a file that is not there yet; {out} is: remove it or give another --out"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"expected --out to be a file that can be written; got {out}: {error.strerror}"
            ) from error
        sizes = f"--validation-size {min(40, validation)} --test-size {min(100, test)}"
        print(
            f"wrote {out}: the benchmark {name} of {distinct:,} questions with {kind} answers, {validation} of them "
            f"for validation and {test} for the test\n"
            f"look at it:  w4s-gym run WORKFLOW.py --env {out}:BENCHMARK\n"
            f"compare:     w4s-gym compare --env {out}:BENCHMARK {sizes} --algos seed random_edits"
        )
        return 0

    def _source(
        self, name: str, kind: Kind, size: int, validation: int, test: int, example: tuple[str, str], out: Path
    ) -> str:
        scorer = _SCORERS[kind]
        beside = self.data.resolve().parent == out.resolve().parent
        place = f"Path(__file__).with_name({self.data.name!r})" if beside else f"Path({str(self.data.resolve())!r})"
        digest = hashlib.sha256(self.data.read_bytes()).hexdigest()
        description = self.description or f"Questions of {name}."
        answer = f'{scorer.answer}: {{"answer": {example[1]!r}}}.'
        function = scorer.score.__name__
        return f'''"""{name}: {size} questions of {self.data.name} with {kind} answers.

Data: {self.data.name}, SHA-256 {digest}
Source and licence of the data: (write them here)
Scorer: `{function}`, 1 or 0 an item
Splits: {validation} validation and {test} test items, chosen by a hash of the questions; none stands on two sides.

    w4s-gym compare --env {out.name}:BENCHMARK
"""

from pathlib import Path

from {scorer.module} import {function}
from w4s_gym.benchmark import Benchmark, Item, pure_grader
from w4s_gym.data import DataFile, cached_load, load_rows
from w4s_gym.workflows import seed_workflows

DATA = {place}
FILE = DataFile(DATA.name, fields={{{self.question!r}: str, {self.answer!r}: (str, int, float)}})


@cached_load
def load(*, data_path=DATA):
    """Load the questions of `data_path`."""
    rows = load_rows({name!r}, file=FILE, data_path=data_path)
    return [
        Item(id=str(n), task=row[{self.question!r}], gold=str(row[{self.answer!r}]), kind={kind!r})
        for n, row in enumerate(rows, start=1)
    ]


BENCHMARK = Benchmark(
    name={name!r},
    description={description!r},
    answer_format={answer!r},
    load=load,
    grade=pure_grader({function}),  # or any function of (gold, answer) that returns 0.0 to 1.0
    seeds=seed_workflows({kind!r}),
    validation_size={validation},
    test_size={test},
)
'''


def _read(path: Path) -> list[Row]:
    if not path.is_file():
        raise ConfigError(
            f"expected a JSONL file with a line such as "
            f'{{"question": "2 + 2?", "answer": "4"}} for each question; there is no file {path}'
        )
    if path.suffix != ".jsonl":
        raise ConfigError(f"expected a file whose name ends in .jsonl, with one JSON object a line; got {path}")
    rows = read_file(path, DataFile(path.name, {}))
    if not rows:
        raise ConfigError(f"{path}: expected a question in each line; the file is empty")
    return rows


def _pair(path: Path, number: int, row: Row, question: str, answer: str) -> tuple[str, str]:
    asked, correct = row[question], row[answer]
    if not isinstance(asked, str) or not asked.strip():
        raise ConfigError(f"{path}, row {number}: expected {question!r} to be a text; got {asked!r:.80}")
    if isinstance(correct, bool) or not isinstance(correct, str | int | float) or not str(correct).strip():
        raise ConfigError(f"{path}, row {number}: expected {answer!r} to be a text or a number; got {correct!r:.80}")
    return asked, str(correct)


def _kind(path: Path, wanted: Kind | None, answers: Sequence[str]) -> Kind:
    """Return the kind of the answers: the wanted one if its scorer gives each its point, else the first that does."""
    refused: dict[Kind, tuple[int, Any]] = {}
    for kind in (wanted,) if wanted else _SCORERS:
        score = _SCORERS[kind].score
        wrong = next((n for n, answer in enumerate(answers, start=1) if _points(score, answer) != 1.0), None)
        if wrong is None:
            return kind
        refused[kind] = wrong, answers[wrong - 1]
    kind, (row, answer) = list(refused.items())[-1]
    raise ConfigError(f"{path}, row {row}: expected an answer that the scorer for {kind} accepts; got {answer!r:.80}")


def _points(score: Callable[[str, str], float], answer: str) -> float:
    try:
        return score(answer, answer)
    except ValueError:  # the gold answer of a number scorer has to be a number
        return 0.0
