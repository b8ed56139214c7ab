"""Observation text: the chat messages a meta-agent sees, in a full, a compact and a guided style."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from w4s_gym import guided
from w4s_gym.feedback import list_cases
from w4s_gym.messages import Message
from w4s_gym.quoting import one_line
from w4s_gym.sandbox.inside.fences import fenced
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.spaces import MAX_TEXT
from w4s_gym.state import Attempt, DesignState, TaskCard

ERROR_CHARS = 800
"""Most characters of an error in a prompt: its message is at most 500."""

PromptStyle = Literal["full", "compact", "guided"]

_API = """\
A workflow is complete Python code that defines `solver(agent, task)`{entry} and returns a dict whose "answer"
is the final answer. It may define helper functions and import the standard library and numpy. It runs in a sandbox
without network and files. The agent offers (all arguments by keyword):
- agent.call_json_format_llm(messages=[{{"role": "user", "content": ...}}], temperature=1.0, num_of_response=1,
  agent_role="task solver", return_dict_keys=["reasoning", "answer"], instructions="")
  -> list of dicts, one per response, each with those keys
- agent.call_llm(messages=[...], temperature=1.0, num_of_response=1, agent_role="task solver", instructions="")
  -> list of str
- agent.execute_code(code, timeout=5) -> value of solution(), else of the last line; raises on error
- agent.extract_answer_str(text), agent.extract_code_block(text, entry_point="solution"){code_api}
{pool}"""

_ONE_EXECUTOR = "The executor model is fixed; `model=` is ignored."

_CODE_API = """
- agent.exec_test(solution, entry_point) -> {"result": bool, "feedback": str}: runs the public examples of the task
- agent.test_on_public_test(task, solution, entry_point, test_loop=3) -> {"result", "solution", "feedback", "count"}:
  runs the public examples and asks the executor to fix the solution when they fail"""


def opening_messages(state: DesignState, style: PromptStyle) -> list[Message]:
    """Messages that start a window of turns: task, API, earlier results, current workflow, failures."""
    if style == "compact":
        return [{"role": "user", "content": _compact_opening(state)}]
    if style == "guided":
        return [
            {"role": "system", "content": guided.system_text(state.card)},
            {"role": "user", "content": guided.opening_text(state)},
        ]
    return [
        {"role": "system", "content": _system(state.card)},
        {"role": "user", "content": _full_opening(state)},
    ]


def feedback_message(
    state: DesignState, attempt: Attempt, before: float, style: PromptStyle, notes: Sequence[str] = ()
) -> Message:
    """Message after a turn: what the new workflow reached and where it fails.

    Args:
        state: the state after the turn.
        attempt: the turn's attempt.
        before: value of the workflow that the state held before: its accuracy, unless executor calls have a price.
        style: which prompt style.
        notes: what else the meta-agent should know about the run.
    """
    if style == "compact":
        result = "failed" if attempt.value is None else f"{attempt.value:.3f} {_trend(attempt.value, before)}"
        return {"role": "user", "content": f"result {result}\n{_compact_status(state)}"}
    if style == "guided":
        return {"role": "user", "content": guided.feedback_text(state, attempt, before, notes)}
    if attempt.value is None:
        text = (
            "That workflow still failed its one-sample test after all repairs and was skipped. "
            "The current workflow is unchanged."
        )
    else:
        text = (
            f"Validation {state.card.metric} of that workflow: {_figure(state.card, attempt)}. "
            f"It {_trend(attempt.value, before)} (before: {before:.3f}; best so far: {state.best_value:.3f})."
        )
    text = "\n".join([text, *(f"Note: {note}." for note in notes)])
    return {"role": "user", "content": f"{text}\n{_cases(state)}\n{_request(state)}"}


def repair_message(error: ErrorReport, repairs_left: int, style: PromptStyle) -> Message:
    """Message that asks for a repair of the workflow just written."""
    if style == "compact":
        return {"role": "user", "content": f"error {one_line(error.text(), ERROR_CHARS)}\nrepair"}
    if style == "guided":
        return {"role": "user", "content": guided.repair_text(error)}
    where = f"\nFailing line {error.line}: {one_line(error.source_line.strip())}" if error.line else ""
    what = one_line(f"{error.kind}: {error.message}", ERROR_CHARS)
    return {
        "role": "user",
        "content": f"The workflow failed on one sample.\n{what}{where}\n"
        f"Repair it ({repairs_left} repairs left): explain the cause briefly, then give the complete corrected code "
        "in one ```python block.",
    }


def render_text(messages: list[Message]) -> str:
    """One text of all messages: the observation."""
    return "\n\n".join(f"[{m['role']}]\n{m['content']}" for m in messages)


def observation(messages: list[Message]) -> str:
    """The observation: `render_text`, without its middle where it would be longer than its space allows."""
    text = render_text(messages)
    if len(text) <= MAX_TEXT:
        return text
    note = f"\n\n[... {len(text) - MAX_TEXT:,} characters and more are left out ...]\n\n"
    half = (MAX_TEXT - len(note)) // 2
    return f"{text[:half]}{note}{text[-half:]}"


def task_text(card: TaskCard) -> str:
    """Describe the task and the agent that workflows call."""
    api = _API.format(
        entry=" (or `solver(agent, task, entry_point)`)" if card.is_code else "",
        code_api=_CODE_API if card.is_code else "",
        pool=guided.pool_text(card) if card.pool else _ONE_EXECUTOR,
    )
    simulated = " (simulated)" if card.simulated else ""
    executor = f"the executor models {card.executor}" if card.pool else f"a fixed executor model, {card.executor}"
    return (
        f"You design workflows: Python programs that call {executor}{simulated}, to solve a task.\n"
        f"Task: {card.description}\nAnswer format: {card.answer_format}\n\n{api}"
    )


def _system(card: TaskCard) -> str:
    return (
        f"{task_text(card)}\n\n"
        f"You have {card.max_turns} turns. Each workflow is measured on the same validation items. "
        f"The aim is the highest validation {card.metric}{f', less {card.price}' if card.price else ''}."
    )


def _full_opening(state: DesignState) -> str:
    seeds = "\n".join(
        f"{a.name}: {state.card.metric} {_figure(state.card, a)}\n{fenced(a.workflow)}"
        for a in state.history
        if a.is_seed
    )
    designed = [a for a in state.history if not a.is_seed]
    earlier = "".join(f"{a.name}: {'failed' if a.accuracy is None else _figure(state.card, a)}\n" for a in designed)
    current = (
        "" if any(a.is_seed and a.workflow == state.workflow for a in state.history) else f"{fenced(state.workflow)}\n"
    )
    return (
        (f"Example question:\n{state.card.example[:1500]}\n\n" if state.card.example else "")
        + (f"Seed workflows:\n{seeds}\n\n" if seeds else "")
        + (f"Earlier turns:\n{earlier}\n" if earlier else "")
        + f"Current workflow: validation {state.card.metric} {_figure(state.card, state)} "
        + f"(best so far: {state.best_value:.3f})\n{current}"
        + f"{_cases(state)}\n{_request(state)}"
    )


def _cases(state: DesignState) -> str:
    if not state.cases:
        return ""
    return f"Questions the current workflow got wrong:\n{list_cases(state.cases)}\n"


def _request(state: DesignState) -> str:
    return (
        f"Turn {state.turn + 1} of {state.card.max_turns}. First analyse what to change and why. "
        "Then give the complete code of an improved workflow in one ```python block."
    )


def _figure(card: TaskCard, measured: Attempt | DesignState) -> str:
    """What a workflow reached and, where executor calls have a price, what is taken off."""
    accuracy = f"{measured.accuracy or 0.0:.3f}"
    return f"{accuracy} less {measured.cost:.3f} for its executor calls" if card.price else accuracy


def _trend(value: float, before: float) -> str:
    if value > before:
        return "rose"
    return "fell" if value < before else "stayed the same"


def _compact_status(state: DesignState) -> str:
    return f"turn {state.turn + 1} of {state.card.max_turns}\nlast {state.value:.3f} best {state.best_value:.3f}"


def _compact_opening(state: DesignState) -> str:
    seeds = "\n".join(f"{a.name} {a.value or 0.0:.3f}" for a in state.history if a.is_seed)
    return (
        f"task {state.card.benchmark}\nexecutor {state.card.executor}\n"
        + (f"{guided.pool_text(state.card)}\n" if state.card.pool else "")
        + (f"{seeds}\n" if seeds else "")
        + f"{_compact_status(state)}\n{fenced(state.workflow)}\nimprove"
    )
