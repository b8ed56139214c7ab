"""The `guided` prompt style: an observation for weak meta-agents.

Small models take failed questions at the end of a prompt for their own task: they solve them in Python and never ask
the executor. Here the prompt says what a workflow is and is not, shows failures as what came back instead of what was
wanted, without the questions, and ends with the request. It says nothing about which method suits a benchmark.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from w4s_gym.quoting import one_line
from w4s_gym.sandbox.inside.fences import fenced
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.state import Attempt, DesignState, FailureCase, TaskCard

_SYSTEM = """\
You write workflows. A workflow is a short Python program that gets one question as the string `task` and lets a
language model, the executor, answer it. You never see the question, and each one is different: so a workflow holds no
question, no number of a question and no solution. It passes `task` to the executor and takes the answer out of the
reply.

A workflow defines {entry} and returns {{"answer": string}}. What it can call:
text = agent.call_llm(messages=[{{"role": "user", "content": task}}])[0]  # a str
reply = agent.call_json_format_llm(messages=[{{"role": "user", "content": task}}],
    return_dict_keys=["reasoning", "answer"])[0]  # a dict with these keys
value = agent.execute_code(code)  # runs Python: value of its solution(), else of the last line; raises on errors
code = agent.extract_code_block(text{code_entry})  # the code in a reply
answer = agent.extract_answer_str(text)  # the last number in a reply, else its last sentence{code_api}
Both calls also take instructions (a str), agent_role (a str), temperature and num_of_response; they return a list with
one reply for each.{pool}

Questions: {description}
Answers: {answer_format}"""

_CODE_API = """
outcome = agent.exec_test(solution, entry_point)  # runs the public examples: {"result": bool, "feedback": str}
outcome = agent.test_on_public_test(task, solution, entry_point, test_loop=3)  # lets the executor fix the solution
    until the public examples pass: {"result": bool, "solution": str, "feedback": str, "count": int}"""

_REQUEST = "Write another workflow. Give its complete code in one ```python block."
_DOCSTRING = re.compile(r'^[ \t]*"""[^"]*"""[ \t]*\n', re.MULTILINE)
_LONG = 4
_SHORT = 8
"""An answer is long if it has more than `_LONG` times the characters of the correct one, taken as at least `_SHORT`."""
_ERROR_CHARS = 300


def system_text(card: TaskCard) -> str:
    """What a workflow is and is not, what it can call, and the kind of questions."""
    return _SYSTEM.format(
        entry="solver(agent, task, entry_point)" if card.is_code else "solver(agent, task)",
        code_entry=", entry_point" if card.is_code else "",
        code_api=_CODE_API if card.is_code else "",
        pool=f"\n{pool_text(card)}" if card.pool else "",
        description=card.description,
        answer_format=card.answer_format,
    )


def pool_text(card: TaskCard) -> str:
    """Say which executors `model=` chooses from."""
    first, *_ = card.pool
    lines = []
    for member in card.pool:
        about = [member.executor + (" (simulated)" if member.simulated else "")]
        if member.price is not None:
            about.append("${:g} and ${:g} per million prompt and completion tokens".format(*member.price))
        if member.caps:
            about.append(f"at most {member.caps} an item")
        lines.append(f"- model={member.name!r}: {', '.join(about)}")
    return "\n".join([f"Calls also take model=, the executor that answers; without it {first.name!r} does:", *lines])


def opening_text(state: DesignState) -> str:
    """The current workflow with its failures, what others reached, the request.

    Only the current workflow is shown as code, and without docstrings: small models copy what they can.
    """
    seeds = [a for a in state.history if a.is_seed and a.workflow != state.workflow]
    others = ", ".join(f"{a.name.removeprefix('seed ')} {a.value or 0.0:.0%}" for a in seeds)
    code = _DOCSTRING.sub("", state.workflow)
    card = state.card
    aim = f"Taken off a workflow's share of right answers: {card.price}.\n" if card.price else ""
    return (
        f"{aim}The current workflow gets {_share(card, state)} (best so far: {state.best_value:.0%}):\n"
        f"{fenced(code)}\n\n" + (f"Others got: {others}.\n\n" if others else "") + f"{_failures(state)}{_REQUEST}"
    )


def feedback_text(state: DesignState, attempt: Attempt, before: float, notes: Sequence[str] = ()) -> str:
    """What the last workflow reached, its failures, and the request."""
    if attempt.accuracy is None:
        return f"That workflow failed and was left out; the current one is still that of {before:.0%}.\n\n{_REQUEST}"
    reached = _share(state.card, attempt)
    result = f"That workflow got {reached} (before: {before:.0%}; best so far: {state.best_value:.0%})."
    result = "\n".join([result, *(f"Note: {note}." for note in notes)])
    return f"{result}\n\n{_failures(state)}{_REQUEST}"


def _share(card: TaskCard, measured: Attempt | DesignState) -> str:
    share = f"{measured.accuracy or 0.0:.0%} right"
    return f"{share} less {measured.cost:.1%} for its executor calls" if card.price else share


def repair_text(error: ErrorReport) -> str:
    """The first cause of the failure, and the request for the complete code."""
    where = f"\nFailing line: {one_line(error.source_line.strip())}" if error.line else ""
    return (
        f"That workflow failed on one question.\n{one_line(f'{error.kind}: {error.message}', _ERROR_CHARS)}{where}\n\n"
        "Give the complete corrected code in one ```python block."
    )


def _failures(state: DesignState) -> str:
    """Failures as evidence about the method: of which kind they are.

    Neither questions nor answers: small models write both into their code.
    """
    if not state.cases:
        return ""
    kinds = Counter(_kind(case, state.card) for case in state.cases)
    listed = "; ".join(f"{count} x {kind}" for kind, count in kinds.most_common())
    return f"Of {len(state.cases)} failures that were looked at: {listed}.\n\n"


def _kind(case: FailureCase, card: TaskCard) -> str:
    if case.failure:
        return one_line(case.failure, _ERROR_CHARS)
    answer = case.answer.strip()
    if not answer:
        return "no answer"
    if card.is_code:
        return "a solution that fails its hidden tests"
    if len(answer) > _LONG * max(len(case.gold), _SHORT):
        return "a long text instead of a short answer"
    return "another answer"
