"""Evaluate hand-made workflows with a real model on this machine: no key, no network, nothing simulated.

The items are ones that a model of 135 million parameters can partly do: ChainSum's sums of two two-digit numbers, and
its one-step word problems. Which workflow asks decides whether it can.

    python experiments/real_executor.py
    python experiments/real_executor.py --items 8 --workflows direct expression
    python experiments/real_executor.py --executor record:runs/real.jsonl@local:smollm2-135m

Replies are kept in `--cache-folder`: a run that was stopped goes on where it was, and a second run takes seconds.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

import w4s_gym.envs  # noqa: F401  (registers the benchmarks)
from w4s_gym.benchmark import Benchmark, Item, get_benchmark
from w4s_gym.episode import Episode
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors import make_executor
from w4s_gym.ledger import Ledger
from w4s_gym.results import Evaluation
from w4s_gym.sandbox import Sandbox
from w4s_gym.sandbox.types import Limits
from w4s_gym.study.stats import wilson

_HEAD = '''
from collections import Counter

ANSWER = "Give the final answer as a number only."
EXPRESSION = "Write only the arithmetic expression, do not compute it."


def say(agent, content, instructions="", tokens=32, **options):
    """Ask for plain text; return the texts."""
    options = {"temperature": 0.0, **options}
    messages = [{"role": "user", "content": content}]
    return agent.call_llm(messages=messages, instructions=instructions, max_completion_tokens=tokens, **options)


def fill(agent, content, key, instructions, tokens=32, before=()):
    """Ask for JSON with one key, after the messages `before`; return its value."""
    messages = [*before, {"role": "user", "content": content}]
    return agent.call_json_format_llm(
        messages=messages,
        return_dict_keys=[key],
        instructions=instructions,
        temperature=0.0,
        max_completion_tokens=tokens,
    )[0][key]


def compute(agent, expression):
    """Run an arithmetic expression as a program; an empty answer if it is none."""
    try:
        return str(agent.execute_code(expression.split("=")[0].strip()))
    except Exception:
        return ""

'''

WORKFLOWS = {
    "plain": '''
def solver(agent, task):
    """One plain call; the last number is the answer."""
    return {"answer": agent.extract_answer_str(say(agent, task, tokens=64)[0])}
''',
    "chain of thought": '''
def solver(agent, task):
    """Reason first; the last number is the answer."""
    return {"answer": agent.extract_answer_str(say(agent, task, "Think step by step. " + ANSWER, tokens=64)[0])}
''',
    "vote of 5": '''
def solver(agent, task):
    """Five plain answers, the most frequent one."""
    texts = say(agent, task, ANSWER, temperature=0.6, num_of_response=5)
    return {"answer": Counter(agent.extract_answer_str(text) for text in texts).most_common(1)[0][0]}
''',
    "self-refine": '''
def solver(agent, task):
    """An answer, a review of it, and a second answer."""
    first = say(agent, task, ANSWER)[0]
    review = say(agent, f"{task}\\nProposed answer: {first}", "Check the proposed answer and say what is wrong.")[0]
    shown = f"{task}\\nProposed answer: {first}\\nReview: {review}"
    return {"answer": agent.extract_answer_str(say(agent, shown, "Correct the answer. " + ANSWER)[0])}
''',
    "JSON answer": '''
def solver(agent, task):
    """One call with the single key `answer`."""
    return {"answer": fill(agent, task, "answer", ANSWER, tokens=24)}
''',
    "function": '''
def solver(agent, task):
    """Ask for a function solution() and run it."""
    code = fill(agent, task, "code", "Write a Python function solution() that returns the answer.", tokens=40)
    try:
        return {"answer": str(agent.execute_code(code))}
    except Exception:
        return {"answer": ""}
''',
    "expression": '''
def solver(agent, task):
    """Ask for the arithmetic expression and compute it."""
    return {"answer": compute(agent, fill(agent, task, "expression", EXPRESSION))}
''',
    "expression, examples": '''
EXAMPLES = {
    "31 - 24 =": "31 - 24",
    "Tom has 6 pens and buys 3 more. How many pens does Tom have now?": "6 + 3",
    "Eva has 5 boxes with 4 eggs in each. How many eggs does Eva have?": "5 * 4",
    "Tom has 9 pens and loses 2 of them. How many pens are left?": "9 - 2",
}


def solver(agent, task):
    """The same after four solved examples."""
    before = []
    for question, expression in EXAMPLES.items():
        before.append({"role": "user", "content": question})
        before.append({"role": "assistant", "content": '{"expression": "' + expression + '"}'})
    return {"answer": compute(agent, fill(agent, task, "expression", EXPRESSION, before=before))}
''',
}

BENCHMARKS = {
    "two-digit sums": {"style": "sum", "terms": 2, "digits": 2},
    "word problems": {"style": "story"},
}


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    executor: str = "local:smollm2-135m"
    """Executor that answers."""
    items: int = 40
    """Items per benchmark."""
    benchmarks: tuple[str, ...] = tuple(BENCHMARKS)
    """Kinds of items."""
    workflows: tuple[str, ...] = tuple(WORKFLOWS)
    """Names of workflows."""
    cache_folder: str = "runs/real_executor_cache"
    """Where replies are kept."""


async def evaluate(
    options: Options, benchmark: Benchmark, items: list[Item], name: str, sandbox: Sandbox
) -> tuple[Evaluation, float]:
    """Return a workflow's results and the seconds they took."""
    executor = make_executor(options.executor, {"cache_folder": options.cache_folder})
    # A local model answers one call at a time, so calls wait for each other: that is not the workflow's fault.
    limits = EvaluationLimits(in_flight=2, run=Limits(absolute_seconds=3600.0))
    started = time.monotonic()
    try:
        evaluator = Evaluator(benchmark, executor, sandbox, limits)
        evaluation = await evaluator.evaluate(_HEAD + WORKFLOWS[name], items, Episode(0, Ledger("run")))
    finally:
        await executor.close()
    return evaluation, time.monotonic() - started


def row(benchmark: str, name: str, evaluation: Evaluation, seconds: float) -> list[str]:
    """Format a line of the table."""
    share = wilson(sum(r.score for r in evaluation.scored), len(evaluation.scored))
    usage = evaluation.usage
    failed = {status: count for status, count in evaluation.statuses.items() if status != "ok"}
    return [
        benchmark,
        name,
        f"{share.value:.3f}",
        f"[{share.low:.2f}, {share.high:.2f}]",
        str(usage.calls),
        str(usage.cached_calls),
        str(usage.prompt_tokens),
        str(usage.completion_tokens),
        f"{seconds:.1f}",
        str(usage.malformed + usage.empty),
        " ".join(f"{status}: {count}" for status, count in failed.items()),
    ]


def main(options: Options) -> None:
    """Print the table."""
    table = Table("items", "workflow", "accuracy", "95% interval", "calls", "cached", "prompt tokens")
    for column in ("output tokens", "seconds", "malformed or empty", "failed"):
        table.add_column(column)
    with Sandbox() as sandbox:
        for label in options.benchmarks:
            benchmark = get_benchmark("ChainSum")
            items = list(benchmark.load(size=options.items, **BENCHMARKS[label]))
            for name in options.workflows:
                evaluation, seconds = asyncio.run(evaluate(options, benchmark, items, name, sandbox))
                line = row(label, name, evaluation, seconds)
                print("  ".join(line), flush=True)
                table.add_row(*line)
    Console(width=160, markup=False).print(table)
    print(f"executor {options.executor}: a real model, nothing simulated. Intervals: Wilson score, 95%.")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
