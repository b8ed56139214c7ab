"""Runs a workflow file on one question: what makes `python best_workflow.py "a question"` work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from w4s_gym._loop import run_sync
from w4s_gym.agent import AgentHost, full_answer
from w4s_gym.benchmark import Item
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.episode import Episode
from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.executor_pool import ExecutorPool, Pool, read_pool
from w4s_gym.executors import check_executor, make_executor
from w4s_gym.ledger import Ledger
from w4s_gym.options import json_object
from w4s_gym.paths import user_path
from w4s_gym.registration import find_env
from w4s_gym.sandbox import Sandbox, SandboxConfig
from w4s_gym.sandbox.types import PROGRAM_LIMITS
from w4s_gym.usage import Usage


@dataclass(frozen=True)
class Answer:
    """What a workflow answered."""

    text: str
    usage: Usage
    """What it cost."""
    simulated: bool
    """Whether the executor behind it was simulated."""


def answer_question(
    source: str,
    item: Item,
    executor: str | Pool,
    *,
    executor_config: Mapping[str, Any] | None = None,
    benchmark: str = "",
    draw: int = 0,
) -> Answer:
    """Run a workflow on one item, in the sandbox and through the usual agent.

    Args:
        source: Python source that defines `solver`.
        item: the question; its gold answer is used by simulated executors only.
        executor: name of the executor, or several that `model=` chooses from.
        executor_config: its configuration, as in `make_executor`.
        benchmark: name of the item's benchmark, for simulated executors.
        draw: which draw of the executor's randomness.

    Raises:
        W4SError: the workflow failed, or the executor could not be asked.
    """
    ledger = Ledger("question")
    endpoint = make_executor(executor, executor_config) if isinstance(executor, str) else ExecutorPool(executor)
    with Sandbox(SandboxConfig()) as sandbox:
        host = AgentHost(item, endpoint, sandbox, Episode(draw, ledger), PROGRAM_LIMITS, benchmark)
        try:
            outcome = run_sync(
                sandbox.run_workflow(source, item.task, entry_point=item.entry_point, handler=host, seed=draw)
            )
        finally:
            run_sync(endpoint.close())
    if outcome.status != "ok":
        raise W4SError(f"the workflow failed: {outcome.error.text() if outcome.error else outcome.status}")
    answer = full_answer(outcome.value)
    if answer is None:
        raise W4SError('expected solver to return a dict whose "answer" is a string or a number')
    return Answer(answer, ledger.usage, endpoint.simulated)


def main(
    file: str,
    env: str,
    executor: str,
    arguments: Sequence[str] | None = None,
    executors: Mapping[str, Any] | None = None,
) -> None:
    """Command line of a workflow file.

    Args:
        file: the workflow file.
        env: environment id of the benchmark it was designed for.
        executor: the executor it was designed with; the default of `--executor`.
        arguments: the command line; that of the process if None.
        executors: those that it was designed with, if `model=` chooses from several; `--executor` replaces them by one,
            and `model=` is ignored then.
    """
    parser = argparse.ArgumentParser(description="Answer a question with this workflow.")
    parser.add_argument("question", nargs="?", help="the question; without one, a validation item of the benchmark")
    default = None if executors else executor
    parser.add_argument("--executor", default=default, help="sim:<profile>, openai:<model> or local:<model>")
    parser.add_argument("--executor-config", default="{}", help='JSON, for instance {"base_url": "http://..."}')
    parser.add_argument("--entry-point", help="code benchmarks: name of the function to write")
    options = parser.parse_args(arguments)
    try:
        config = json_object("--executor-config", options.executor_config)
        source = user_path(file).read_text(encoding="utf-8-sig")
        chosen = options.executor or read_pool(executors or {}, config)
        print(answer_text(source, options.question, env, chosen, config, options.entry_point))
    except W4SError as error:
        sys.exit(f"error: {error}")


def answer_text(
    source: str,
    question: str | None,
    env: str,
    executor: str | Pool,
    executor_config: Mapping[str, Any] | None = None,
    entry_point: str | None = None,
) -> str:
    """Answer a question with a workflow, and say what it cost.

    Args:
        source: Python source that defines `solver`.
        question: the question; None takes a validation item of the benchmark.
        env: environment id of the benchmark; simulated executors know the answers to its questions only.
        executor: name of the executor, or several that `model=` chooses from.
        executor_config: its configuration, as in `make_executor`.
        entry_point: code benchmarks: name of the function to write.

    Raises:
        W4SError: a value cannot be used, the workflow failed, or the executor could not be asked.
    """
    if isinstance(executor, str):
        check_executor(executor, executor_config)
    item, benchmark = _find_item(question, entry_point, env, executor)
    answer = answer_question(source, item, executor, executor_config=executor_config, benchmark=benchmark)
    simulated = " (simulated)" if answer.simulated else ""
    price = "unknown" if answer.usage.dollars is None else f"${answer.usage.dollars:.5f}"
    asked = f"question: {item.task}\ncorrect answer: {item.gold}\n" if question is None else ""
    return f"{asked}answer{simulated}: {answer.text}\n{answer.usage.calls} executor calls, price {price}"


def _find_item(question: str | None, entry_point: str | None, env: str, executor: str | Pool) -> tuple[Item, str]:
    """Make an item of a free question, or find it among the benchmark's validation items."""
    specs = [executor] if isinstance(executor, str) else [member.name for member in executor.values()]
    if question is not None and not any(spec.startswith("sim:") for spec in specs):
        return Item("question", question, None, entry_point=entry_point), ""
    made = gym.make(find_env(env), disable_env_checker=True).unwrapped
    assert isinstance(made, WorkflowDesignEnv)
    known = made.split.validation
    benchmark = made.benchmark.name
    if question is None:
        return known[0], benchmark
    for item in known:
        if item.task.strip() == question.strip():
            return item, benchmark
    raise ConfigError(
        f"expected a question of {env}: {' or '.join(specs)} is simulated and knows only the benchmark's own items. "
        "For a question of your own pass --executor openai:<model> or local:<model>"
    )
