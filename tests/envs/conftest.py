"""Invented records in the shapes of the original files and of the hub, and a stand-in for the hub."""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from w4s_gym.data import DATA_DIR_VARIABLE, clear_caches
from w4s_gym.envs import gpqa

COUNT = 14
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Sample:
    """The same records twice."""

    path: str
    """Where the original file lies in the data folder."""
    local: Rows
    hub: dict[tuple[str | None, str], Rows]
    """(configuration, split) -> rows."""
    options: dict[str, Any]


def _word_problem(i: int) -> str:
    return f"Mara packs {i + 3} crates with {i + 12} lemons each. How many lemons does she pack?"


def _gold(i: int) -> int:
    return (i + 3) * (i + 12)


def _humaneval(i: int) -> dict[str, Any]:
    prompt = (
        f'from typing import List\n\n\ndef scale_{i}(xs: List[int]) -> List[int]:\n    """Multiply all by {i + 2}.\n'
    )
    prompt += f'    >>> scale_{i}([1, 2])\n    [{i + 2}, {2 * (i + 2)}]\n    """\n'
    test = f"def check(candidate):\n    assert candidate([3, 4]) == [{3 * (i + 2)}, {4 * (i + 2)}]\n"
    solution = f"    factor: int = {i + 2}\n    return [factor * number for number in xs]\n"
    names = {"task_id": f"HumanEval/{i}", "entry_point": f"scale_{i}"}
    return {**names, "prompt": prompt, "canonical_solution": solution, "test": test}


def _mbpp(i: int) -> dict[str, Any]:
    code = f"import math\ndef raise_by_{i}(number, extra=0):\n    return math.floor(number + {i + 1} + extra)"
    tests = [f"assert raise_by_{i}({n}) == {n + i + 1}" for n in (1, 5, 9)]
    tests.append(f"assert math.isclose(raise_by_{i}(100), {101 + i})")
    prompt = f"Write a function to raise a number by {i + 1}."
    row = {"source_file": "invented", "task_id": i + 2, "prompt": prompt, "code": code}
    return {**row, "test_imports": ["import math"] if i == 0 else [], "test_list": tests}


def _drop(i: int) -> tuple[dict[str, Any], dict[str, Any]]:
    passage, question = f"The keeper counted {i + 5} herons and {i + 2} swans.", "Which birds were counted?"
    spans, number = ["herons", "swans"], {"number": str(i), "date": {"day": "", "month": "", "year": ""}, "spans": []}
    date = {"day": "3", "month": "May", "year": ""}
    local = {
        "context": f"Passage: {passage}\nQuestion: {question}\nAnswer:",
        "completion": " herons and swans",
        "ref_text": f"herons and swans|{i}|3 May",
    }
    empty = {"day": "", "month": "", "year": ""}
    hub = {
        "section_id": "s",
        "query_id": str(i),
        "passage": passage,
        "question": question,
        "answer": {"number": "", "date": empty, "spans": spans},
        # As `datasets` returns a list of records; the second annotator repeats the first answer.
        "validated_answers": {
            "number": ["", number["number"], ""],
            "date": [empty, empty, date],
            "spans": [spans, [], []],
        },
    }
    return local, hub


def _hotpotqa(i: int) -> tuple[dict[str, Any], dict[str, Any]]:
    paragraphs = [["Lake Orn", ["Orn is a lake.", f" It is {i + 30} m deep."]], ["Tor", ["Tor lies at Lake Orn."]]]
    common = {
        "question": f"How deep is lake number {i} at Tor?",
        "answer": f"{i + 30} m",
        "type": "bridge",
        "level": "hard",
    }
    local = {**common, "_id": f"5a{i}", "supporting_facts": [["Lake Orn", 1]], "context": paragraphs}
    context = {"title": [title for title, _ in paragraphs], "sentences": [lines for _, lines in paragraphs]}
    hub = {**common, "id": f"5a{i}", "supporting_facts": {"title": ["Lake Orn"], "sent_id": [1]}, "context": context}
    return local, hub


def _mmlu_pro(i: int) -> tuple[dict[str, Any], dict[str, Any]]:
    options = [f"option {i} {letter}" for letter in "wxyz"[: 3 + i % 2]]
    common = {"question": f"Which option of group {i}?", "answer": "C", "category": "law", "src": "invented"}
    local = {**common, "question_id": 100 + i, "options": options, "answer_index": 2, "cot_content": ""}
    hub = {
        **local,
        "options": [f" {option}" for option in options] + ["N/A"] * (i % 3),
        "question": common["question"] + "\n",
    }
    return local, hub


def _gpqa(i: int) -> dict[str, Any]:
    wrong = {f"Incorrect Answer {n}": f"wrong {i} {n}" for n in (1, 2, 3)}
    return {
        "Question": f"Invented question {i}?",
        "Correct Answer": f"right {i}\n",
        **wrong,
        "High-level domain": "Physics",
    }


def make_samples() -> dict[str, Sample]:
    """Return the records of every benchmark that needs data."""
    numbers = range(COUNT)
    plain = {"verify": False}
    gsm8k = [{"question": _word_problem(i), "answer": f"Work.\n#### {_gold(i):,}"} for i in numbers]
    plus = [
        {
            "question": _word_problem(i),
            "solution": "Work.",
            "answer": "None" if i == 3 else "1/4" if i == 5 else str(_gold(i)),
            "perturbation_type": "critical thinking" if i == 3 else "numerical substitution",
            "seed_question": "q",
            "seed_solution": "s",
            "seed_answer": "1",
        }
        for i in numbers
    ]
    hard = [{"input": _word_problem(i), "code": "def solution(): ...", "target": _gold(i) * 1234.5} for i in numbers]
    svamp = [
        {
            "ID": f"chal-{i + 1}",
            "Body": f"Lea has {i + 20} pens.",
            "Question": "How many are left when 5 break?",
            "Equation": f"( {i + 20}.0 - 5.0 )",
            "Answer": float(i + 15),
            "Type": "Subtraction",
        }
        for i in numbers
    ]
    svamp_hub = [
        {**row, "Answer": str(row["Answer"]), "question_concat": f"{row['Body']} {row['Question']}"}
        for row in reversed(svamp)
    ]
    mgsm = [{"question": _word_problem(i), "answer": f"{_gold(i) * 100:,}"} for i in numbers]
    mgsm_hub = [
        {
            "question": row["question"],
            "answer": None,
            "answer_number": int(row["answer"].replace(",", "")),
            "equation_solution": None,
        }
        for row in mgsm
    ]
    math = [
        {
            "problem": f"Find $x$ with $x = {i} + \\frac12$.",
            "level": f"Level {i % 5 + 1}",
            "type": "Algebra",
            "solution": f"First \\boxed{{0}}, then \\boxed{{\\frac{{{2 * i + 1}}}{{2}}}}.",
        }
        for i in numbers
    ]
    subjects = (
        "algebra",
        "counting_and_probability",
        "geometry",
        "intermediate_algebra",
        "number_theory",
        "prealgebra",
        "precalculus",
    )
    drop, hotpotqa, mmlu = ([make(i) for i in numbers] for make in (_drop, _hotpotqa, _mmlu_pro))
    humaneval, mbpp = [_humaneval(i) for i in numbers], [_mbpp(i) for i in numbers]
    return {
        "GSM8K": Sample("gsm8k/test.jsonl", gsm8k, {("main", "test"): gsm8k}, plain),
        "GSMPlus": Sample("gsm_plus/gsmplus_testmini.jsonl", plus, {(None, "testmini"): plus}, plain),
        "GSMHard": Sample("gsm_hard/gsmhardv2.jsonl", hard, {(None, "train"): hard}, plain),
        "SVAMP": Sample("svamp/SVAMP.json", svamp, {(None, "train+test"): svamp_hub}, plain),
        "MGSM": Sample("mgsm/mgsm_de.tsv", mgsm, {("de", "test"): mgsm_hub}, {**plain, "language": "de"}),
        "MATH": Sample(
            "math/MATH_test.jsonl",
            math,
            {(name, "test"): math[2 * n : 2 * n + 2] for n, name in enumerate(subjects)},
            plain,
        ),
        "DROP": Sample(
            "drop/drop_v0_dev.jsonl", [a for a, _ in drop], {(None, "validation"): [b for _, b in drop]}, plain
        ),
        "HotpotQA": Sample(
            "hotpotqa/hotpotqa_validate_aflow200.jsonl",
            [a for a, _ in hotpotqa],
            {("distractor", "validation"): [b for _, b in hotpotqa]},
            plain,
        ),
        "MMLUPro": Sample(
            "mmlu_pro/mmlu_pro_test.jsonl", [a for a, _ in mmlu], {(None, "test"): [b for _, b in mmlu]}, plain
        ),
        "GPQA": Sample("", [], {("gpqa_diamond", "train"): [_gpqa(i) for i in numbers]}, {}),
        "HumanEval": Sample("humaneval/HumanEval.jsonl", humaneval, {(None, "test"): humaneval}, plain),
        "MBPP": Sample(
            "mbpp/sanitized-mbpp.json", mbpp, {("sanitized", "prompt+test+validation+train"): mbpp[::-1]}, plain
        ),
    }


def write_local(folder: Path, sample: Sample) -> Path:
    """Write a sample as the file it stands for."""
    path = folder / sample.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        text = json.dumps(sample.local)
    elif path.suffix == ".tsv":
        text = "".join(f"{row['question']}\t{row['answer']}\n" for row in sample.local)
    else:
        text = "".join(json.dumps(row) + "\n" for row in sample.local)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def samples() -> dict[str, Sample]:
    return make_samples()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is loaded before or after a test."""
    monkeypatch.setattr(gpqa, "RECORDS", dict.fromkeys(gpqa.RECORDS, COUNT))
    clear_caches()
    yield
    clear_caches()


@pytest.fixture
def data_folder(tmp_path: Path, samples: dict[str, Sample], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with all samples that have a local shape."""
    for sample in samples.values():
        if sample.path:
            write_local(tmp_path, sample)
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path))
    return tmp_path


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, str]]]:
    """Put a stand-in for the package `datasets`: `hub(rows)` or `hub(error)`; returns the (repo, revision) loaded."""

    def install(answer: dict[tuple[str | None, str], Rows] | Exception) -> list[tuple[str, str]]:
        loaded: list[tuple[str, str]] = []

        def load_dataset(repo: str, config: str | None = None, *, split: str, revision: str) -> Rows:
            loaded.append((repo, revision))
            if isinstance(answer, Exception):
                raise answer
            return answer[config, split]

        module = types.ModuleType("datasets")
        module.__spec__ = importlib.machinery.ModuleSpec("datasets", None)
        module.config = types.SimpleNamespace(HF_HUB_OFFLINE=False)  # type: ignore[attr-defined]
        module.load_dataset = load_dataset  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "datasets", module)
        monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
        return loaded

    return install
