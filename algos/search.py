"""What the search algorithms share: measured designs, failure logs, and the state that a compact prompt shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from w4s_gym.algos.policies.base import Sample
from w4s_gym.algos.trajectory import Row
from w4s_gym.benchmark import AnswerKind
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.feedback import failed_results, failure_cases, list_cases
from w4s_gym.messages import Message
from w4s_gym.prompts import opening_messages
from w4s_gym.results import Evaluation
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.state import Attempt


def answer_kind(env: WorkflowDesignEnv) -> AnswerKind:
    """Return what an answer of the environment's benchmark looks like."""
    return env.split.validation[0].kind


def first_error(evaluation: Evaluation) -> ErrorReport | None:
    """Return the error of the first item on which the workflow failed to run, if any."""
    return next((r.error for r in evaluation.scored if r.status != "ok" and r.error is not None), None)


_WORDS = re.compile(r"\w+")


def ran(evaluation: Evaluation) -> bool:
    """Whether the workflow returned an answer on at least one item."""
    return any(r.status == "ok" for r in evaluation.items)


def labelled_line(text: str, label: str) -> str | None:
    """Return what stands behind `label:` at the start of a line, Markdown around the label aside; None without one.

    Read line by line, as a meta-agent's text may be long and strange. Behind a bare label the next line counts.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines):
        head, colon, rest = line.partition(":")
        if colon and len(head) < len(label) + 40 and _WORDS.findall(head) == [label]:
            following = (after for after in [rest, *lines[number + 1 :]] if after.strip())
            return next(following, "").strip() or None
    return None


def failure_log(env: WorkflowDesignEnv, workflow: str, evaluation: Evaluation, count: int, random: Random) -> str:
    """Describe `count` random items that a workflow got wrong, of those that may be shown."""
    items, seen = env.to_show(workflow, evaluation)
    failed = failed_results(seen)
    chosen = random.sample(failed, min(count, len(failed)))
    cases = failure_cases(env.benchmark, items, chosen)
    env.mark_shown(chosen if cases else ())
    return list_cases(cases) or "(none)"


def compact_request(
    env: WorkflowDesignEnv, workflow: str, value: float, best: float, shown: Sequence[tuple[str, float]]
) -> list[Message]:
    """Write a search step the way a meta-agent of the compact prompt style has seen design steps.

    Such a model knows one kind of request: measured designs by name, a current workflow, "improve". It gets just that:
    the parent is the current workflow and the rest of the search's context is the list of measured designs.

    Args:
        env: a reset environment.
        workflow: source of the parent.
        value: its validation accuracy, less its cost where executor calls have a price.
        best: best value of the search so far.
        shown: (name, value) of the designs that the context shows.
    """
    history = tuple(Attempt(name, "", reached, is_seed=True) for name, reached in shown)
    state = replace(
        env.state,
        turn=0,
        workflow=workflow,
        accuracy=value,
        best=best,
        history=history,
        cases=(),
        repair=None,
        cost=0.0,
        best_cost=0.0,
    )
    return opening_messages(state, "compact")


def search_row(
    env: WorkflowDesignEnv,
    messages: Sequence[Message],
    sample: Sample,
    *,
    run: str,
    step: int,
    reward: float | None,
    accuracy: float | None,
    repair: bool = False,
    chosen: bool = False,
    new_best: bool = False,
) -> Row:
    """Make a trajectory row of a text that a search asked for; `reward` is None when it was not measured."""
    return Row(
        messages=tuple(dict(m) for m in messages),
        action=sample.text,
        reward=reward,
        accuracy=accuracy,
        kind="repair" if repair else "design",
        status="skipped" if accuracy is None else "evaluated",
        chosen=chosen,
        benchmark=env.state.card.benchmark,
        run=run,
        episode=step,
        turn=0,
        candidate=0,
        simulated=env.state.card.simulated,
        reward_kind=env.reward_rule.kind,
        truncated=sample.truncated,
        new_best=new_best,
    )
