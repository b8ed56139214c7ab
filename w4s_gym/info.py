"""The `info` dictionary: fixed keys from `reset` on, plain data, fresh objects, no clocks."""

from __future__ import annotations

from typing import Any, get_args

from w4s_gym.messages import Message
from w4s_gym.results import Candidate, Evaluation
from w4s_gym.sandbox import IsolationReport
from w4s_gym.sandbox.types import Status
from w4s_gym.state import DesignState
from w4s_gym.usage import Usage


def build_info(
    messages: list[Message],
    state: DesignState,
    candidate: Candidate | None,
    usage: Usage,
    split: str,
    isolation: IsolationReport,
) -> dict[str, Any]:
    """Describe the state and what the last action led to.

    Args:
        messages: chat messages of the next decision.
        state: the state after the action.
        candidate: the action's candidate; None after `reset`.
        usage: usage of the episode so far.
        split: hash of the split.
        isolation: what the sandbox holds.

    Returns:
        `messages`, `state`, `evaluation`, `usage`, `split`, `isolation`, `simulated`. Figures that do not exist are 0
        with `evaluation["measured"]` or the like saying so: a fixed structure is what vector environments and data set
        writers need.
    """
    return {
        "messages": messages,
        "state": _state_view(state),
        "evaluation": _candidate_view(candidate),
        "usage": _usage_by_executor(usage, state),
        "split": split,
        "isolation": isolation_view(isolation),
        "simulated": state.card.simulated,
    }


def isolation_view(report: IsolationReport) -> dict[str, Any]:
    """The level that holds, why not a higher one, and whether running below the required one was allowed."""
    return {"level": report.level, "why_not_higher": report.why_not_higher, "unsafe": report.unsafe}


def usage_view(usage: Usage) -> dict[str, Any]:
    """What was asked for. Seconds, dollars and cache hits depend on the past and stay in the ledger."""
    return {
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "empty": usage.empty,
        "truncated": usage.truncated,
        "malformed": usage.malformed,
    }


def _usage_by_executor(usage: Usage, state: DesignState) -> dict[str, Any]:
    """Usage in all and, where workflows choose from several executors, of each."""
    view = usage_view(usage)
    shares = {card.name: usage_view(usage.of(card.name)) for card in state.card.pool}
    return {**view, "executors": shares} if shares else view


def _state_view(state: DesignState) -> dict[str, Any]:
    return {
        "benchmark": state.card.benchmark,
        "executor": state.card.executor,
        "turn": state.turn,
        "max_turns": state.card.max_turns,
        "workflow": state.workflow,
        "accuracy": state.accuracy,
        "cost": state.cost,
        "best": state.best,
        "best_cost": state.best_cost,
        "best_workflow": state.best_workflow,
        "history": [
            {"name": a.name, "accuracy": a.accuracy or 0.0, "measured": a.accuracy is not None, "seed": a.is_seed}
            for a in state.history
        ],
        "failures": [{"question": c.question, "answer": c.answer, "gold": c.gold} for c in state.cases],
        "needs_repair": state.repair is not None,
        "repairs_left": state.repairs_left,
    }


def _candidate_view(candidate: Candidate | None) -> dict[str, Any]:
    evaluation = candidate.evaluation if candidate else None
    error = candidate.error if candidate else None
    return {
        "status": candidate.status if candidate else "none",
        "measured": evaluation is not None,
        "masked": candidate is not None and candidate.status == "infrastructure",
        "accuracy": evaluation.accuracy if evaluation else 0.0,
        "cost": candidate.cost if candidate else 0.0,
        "reward": float(candidate.reward or 0.0) if candidate else 0.0,
        "new_best": candidate.new_best if candidate else False,
        "items": len(evaluation.scored) if evaluation else 0,
        "planned": evaluation.planned if evaluation else 0,
        "statuses": _statuses(evaluation),
        "repairs": candidate.repairs if candidate else 0,
        "error": error.text() if error else "",
        "line": error.line or 0 if error else 0,
        "usage": usage_view(candidate.usage if candidate else Usage()),
    }


def _statuses(evaluation: Evaluation | None) -> dict[str, int]:
    counts = evaluation.statuses if evaluation else {}
    return {status: counts.get(status, 0) for status in get_args(Status)}
