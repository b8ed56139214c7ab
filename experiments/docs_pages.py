"""Makes a page for each environment and each algorithm out of the code: docs/environments/ and docs/algorithms/.

python experiments/docs_pages.py             # writes the pages; a test compares them with what stands there
python experiments/docs_pages.py --measure   # measures the seed workflows first, of benchmarks whose data is here
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from w4s_gym.benchmark import Benchmark, benchmark_names, get_benchmark
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import DataMissing
from w4s_gym.registration import env_id
from w4s_gym.reward import BEAT_LAST, NEW_BEST, NOTHING
from w4s_gym.spaces import MAX_TEXT
from w4s_gym.study.designers import DESIGNERS

DOCS = Path(__file__).resolve().parents[1] / "docs"
SCORES = DOCS / "environments" / "scores.json"
EXECUTOR, ITEMS = "sim:gpt-3.5-turbo", 64
DEFAULT_RUN = DOCS / "results" / "default.md"
NOTE = "<!-- Made by experiments/docs_pages.py; change the code, and run it. -->\n"

EQUATIONS = {
    "untrained": "a ~ pi_0(. | s), m times; the best by validation advances; nothing is learned",
    "sft": "loss = 1/N sum_i 1[row i is a new best] * -1/|a_i| sum_t log pi(a_i,t | s_i, a_i,<t)",
    "rlao": "w_i = exp(r_i / tau)\nloss = 1/N sum_i w_i / mean(w) * -1/|a_i| sum_t log pi(a_i,t | s_i, a_i,<t)",
    "group_rlao": "A = mean over the texts that hold a program of r_i - mean(first attempts of its turn)\n"
    "w = exp(A / tau) / number of these texts,  tau such that (sum exp)^2 / (sum exp^2) / programs = share\n"
    "loss as that of rlao",
    "grpo": "A_i = (r_i - mean(r_1..m)) / std(r_1..m), over the m candidates of a state\n"
    "loss = -1/N sum_i 1/|a_i| sum_t min(rho A_i, clip(rho, 1 - eps, 1 + eps) A_i),  rho = pi / pi_old",
    "adas": "archive <- archive + {design}: every design that ran stays, and the next is written from all of them",
    "aflow": "P(parent i) = lambda / n + (1 - lambda) exp(alpha (s_i - s_max)) / sum_j exp(alpha (s_j - s_max))",
    "random_edits": "best of N: w <- argmax over random edits of the seed workflows and of the best so far",
    "cot_sc": "answer = the most frequent of n chains of thought; n such that it spends another workflow's tokens",
    "gepa": "P(parent i) ~ number of validation items on which none beats i; a child better on 3 items is measured",
    "direct": "answer = the executor's reply to the question alone, asked once in plain text",
    "seed": "argmax over the seed workflows by validation accuracy",
}
"""What each algorithm computes, in one or two lines."""


def measure() -> None:
    """Measure the seed workflows of every benchmark whose data is here, on its first validation items."""
    scores = json.loads(SCORES.read_text(encoding="utf-8")) if SCORES.exists() else {}
    for name in benchmark_names():
        found = seed_scores(name)
        if found is not None:
            scores[name] = found
            print(name, found, flush=True)
            SCORES.parent.mkdir(exist_ok=True)
            SCORES.write_text(json.dumps(scores, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def seed_scores(name: str) -> dict[str, float] | None:
    """Return validation accuracies of a benchmark's seed workflows with the simulated executor; None without data."""
    env = WorkflowDesignEnv(name, EXECUTOR, validation_size=ITEMS, test_size=1)
    try:
        measured = env.evaluate_workflows([seed.source for seed in env.benchmark.seeds], draw=0)
        return {s.name: round(e.accuracy, 4) for s, e in zip(env.benchmark.seeds, measured, strict=True)}
    except DataMissing:
        return None
    finally:
        env.close()


def pages() -> Iterator[tuple[Path, str]]:
    """Return every page that this script makes, and its text."""
    scores = json.loads(SCORES.read_text(encoding="utf-8"))
    names = [name for name in benchmark_names() if get_benchmark(name).load.__module__.startswith("w4s_gym.envs.")]
    for name in names:
        yield DOCS / "environments" / f"{name}.md", environment_page(get_benchmark(name), scores.get(name))
    rows = "\n".join(f"| [`{env_id(n)}`]({n}.md) | {get_benchmark(n).description} |" for n in names)
    yield (
        DOCS / "environments" / "index.md",
        f"{NOTE}# Environments\n\nOne page for each benchmark; [benchmarks](../benchmarks.md) tells where data come "
        f"from and how to add your own.\n\n| id | task |\n|---|---|\n{rows}\n",
    )
    for name in DESIGNERS:
        yield DOCS / "algorithms" / f"{name}.md", algorithm_page(name)


def environment_page(benchmark: Benchmark, scores: dict[str, float] | None) -> str:
    """Return the page of an environment."""
    options = [
        f"| `{p.name}` | `{_cell(p.annotation)}` | `{p.default!r}` |"
        for p in inspect.signature(benchmark.load).parameters.values()
        if p.kind is not p.VAR_KEYWORD
    ]
    own = "\n".join(["| option | type | default |", "|---|---|---|", *options]) if options else "None of its own."
    measured = "\n".join(
        f"| {seed.name} | {_percent(scores.get(seed.name)) if scores else 'not measured: its data were not at hand'} |"
        for seed in benchmark.seeds
    )
    return f"""\
{NOTE}# {env_id(benchmark.name)}

{benchmark.description}

Answer: {benchmark.answer_format}

| | |
|---|---|
| make | `gym.make("{env_id(benchmark.name)}")` |
| observation, action | `UnicodeText`, at most {MAX_TEXT:,} characters; an action holds a Python block with `solver` |
| reward | {NEW_BEST:g}: beats all workflows before it; {BEAT_LAST:g}: beats the last one; {NOTHING:g} otherwise |
| metric | {benchmark.metric} |
| splits | {benchmark.validation_size:,} validation and at most {benchmark.test_size:,} test items\
{"; published lists with `split='published'`" if benchmark.published_split else ""} |
| licence of the items | {benchmark.licence}{"; never published in plain text" if benchmark.confidential else ""} |

## Options

{own}

All options of [`EnvConfig`](../../w4s_gym/config.py) hold as well.

## Seed workflows

An episode starts from the best of these. Validation accuracy on {ITEMS} items with `{EXECUTOR}` (simulated):

| seed workflow | {benchmark.metric} % (simulated) |
|---|---|
{measured}
"""


def _cell(text: Any) -> str:
    """A text that does not end its cell of a table."""
    return str(text).replace("|", "\\|")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def algorithm_page(name: str) -> str:
    """Return the page of an algorithm: its equation, its options, and its rows in the tables of the default run."""
    designer = DESIGNERS[name]
    return f"""\
{NOTE}# {designer.label}

```text
{EQUATIONS[name]}
```

[Algorithms](../algorithms.md) and [training](../training.md) tell more; its name in a comparison is `{name}`.

## Options

{_settings(designer.settings)}

## Results

{_results(designer.label, name)}
"""


def _settings(settings: str) -> str:
    if not settings:
        return "None."
    module, _, kind = settings.partition(":")
    found: Any = getattr(import_module(f"w4s_gym.algos.{module}"), kind)
    told = field_docs(found)
    rows = [
        f"| `{f.name}` | `{'' if f.default is MISSING else f.default}` | {told.get(f.name, '')} |"
        for f in fields(found)
    ]
    return "\n".join(
        [f"Fields of `w4s_gym.algos.{module}.{kind}`:\n", "| option | default | |", "|---|---|---|", *rows]
    )


def field_docs(kind: type[Any]) -> dict[str, str]:
    """Return what stands under each field of a dataclass and of those it extends, in one line each."""
    told: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if not is_dataclass(owner):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for line, below in pairwise(tree.body):
            if isinstance(line, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(line.target, ast.Name):
                text = ast.literal_eval(below.value)
                told[line.target.id] = _cell(" ".join(text.split()))
    return told


def _results(label: str, name: str) -> str:
    """The rows of a designer in the tables of the default run, with the command that made them."""
    text = DEFAULT_RUN.read_text(encoding="utf-8")
    made, command = text.split("\n\n")[1], re.search(r"```bash\n.*?```", text, re.DOTALL)
    assert command is not None
    tables = []
    for block in re.findall(r"^### .*?(?=^### |\Z)", text, re.DOTALL | re.MULTILINE):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        rows = [line for line in lines[2:] if line.startswith(f"| {label} |")]
        if rows:
            tables.append("\n".join([f"**{block.splitlines()[0].removeprefix('### ')}**\n", *lines[:2], *rows]))
    if not tables:
        return f"It takes no part in the default run: `python experiments/compare_algos.py --algos seed {name}`."
    made = made.removesuffix("; this file is the run's `table.md`:")
    head = f"{made} ([whole tables](../results/default.md)):\n\n{command[0]}"
    return "\n\n".join([head, *tables])


if __name__ == "__main__":
    if "--measure" in sys.argv[1:]:
        measure()
    for path, text in pages():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
