"""Turning actions into candidates: parse, self-test, measure, ask for repairs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from w4s_gym.action import parse_action
from w4s_gym.config import EnvConfig
from w4s_gym.episode import Episode
from w4s_gym.errors import BudgetExceeded, ConfigError, ExecutorUnavailable
from w4s_gym.measure import Measurer, evaluation_view
from w4s_gym.messages import Message
from w4s_gym.normal_form import normal_form
from w4s_gym.prompts import repair_message
from w4s_gym.racing import Race
from w4s_gym.results import Candidate, Evaluation
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.state import Attempt, DesignState
from w4s_gym.usage import Usage


class CandidateTrials:
    """Tries actions in a state without advancing it."""

    def __init__(self, measurer: Measurer, config: EnvConfig) -> None:
        """Keep what runs self-tests and validation, and the environment's options."""
        self.measurer = measurer
        """Measures workflows, and keeps the results."""
        self._config = config
        self.must_ask = config.prompt_style == "guided" if config.must_ask is None else config.must_ask
        """Whether a workflow that asks nothing is sent back."""

    async def try_all(
        self,
        actions: Sequence[str],
        earlier: Sequence[Candidate | None],
        chats: Sequence[Sequence[Message]],
        state: DesignState,
        episode: Episode,
        race: Race | None,
    ) -> list[Candidate]:
        """Try several actions, all in flight together.

        Args:
            actions: texts of the actions.
            earlier: for each action the failed candidate that it repairs, or None.
            chats: for each action the chat messages that it answers as a first attempt.
            state: the state they are tried in.
            episode: draw and account.
            race: ends the validation of candidates that can hardly earn a reward, if there is one.
        """
        shown = {normal_form(a.workflow): a for a in state.history} if self._config.reject_copies else {}

        async def attempt(action: str, before: Candidate | None, chat: Sequence[Message]) -> Candidate:
            seen = tuple(self.repair_chat(before) if before else (dict(m) for m in chat))
            candidate = Candidate(
                action,
                "evaluated",
                repairs=before.repairs + 1 if before else 0,
                attempts=(*(before.attempts if before else ()), (seen, action)),
                copies=before.copies if before else 0,
                usage=before.usage if before else Usage(),
            )
            parsed = await asyncio.to_thread(parse_action, action)
            if parsed.workflow is None:
                return self._failed(candidate, ErrorReport("NoWorkflow", parsed.problem))
            candidate = replace(candidate, workflow=parsed.workflow)
            copied = shown.get(normal_form(parsed.workflow)) if shown else None
            if copied is not None:
                return self._copy(candidate, copied, state)
            trial = await self.measurer.try_workflow(
                parsed.workflow, self._config.self_test, episode, race, self.must_ask
            )
            candidate = replace(candidate, evaluation=trial.evaluation, usage=candidate.usage + trial.usage)
            if trial.evaluation is not None:
                return self._rewarded(candidate, trial.evaluation, state)
            if trial.infrastructure:
                return replace(candidate, status="infrastructure", error=trial.error)
            return self._failed(candidate, trial.error or ErrorReport("error", "the self-test failed"))

        return list(await asyncio.gather(*(attempt(a, b, c) for a, b, c in zip(actions, earlier, chats, strict=True))))

    async def complete(self, candidate: Candidate, state: DesignState, episode: Episode) -> Candidate:
        """Run the items that racing left out: a state's own workflow is measured on all of them."""
        if candidate.evaluation is None or candidate.evaluation.estimate is None:
            return candidate
        try:
            evaluation = await self.measurer.complete(candidate.workflow, episode)
        except (ExecutorUnavailable, BudgetExceeded) as error:
            report = ErrorReport(type(error).__name__, str(error)[:500])
            return replace(
                candidate, status="infrastructure", evaluation=None, reward=None, new_best=False, error=report
            )
        measured = {result.item_id for result in candidate.evaluation.items}
        rest = sum((r.usage for r in evaluation.items if r.item_id not in measured), Usage())
        return self._rewarded(replace(candidate, usage=candidate.usage + rest), evaluation, state)

    def repair_chat(self, candidate: Candidate) -> list[Message]:
        """Chat that ends with the request to repair a failed candidate."""
        assert candidate.error is not None
        chat, action = candidate.attempts[-1]
        request = repair_message(candidate.error, candidate.repairs_left, self._config.prompt_style)
        return [*(dict(m) for m in chat), {"role": "assistant", "content": action}, request]

    def _rewarded(self, candidate: Candidate, evaluation: Evaluation, state: DesignState) -> Candidate:
        rule = self._config.reward
        try:
            cost = rule.cost(evaluation.tokens_per_item, evaluation.dollars_per_item)
        except ConfigError as error:  # an executor whose price nobody knows: what was measured has no value
            return replace(candidate, status="infrastructure", error=ErrorReport("UnknownPrice", str(error)))
        value = evaluation.accuracy - cost
        return replace(
            candidate,
            evaluation=evaluation,
            cost=cost,
            reward=rule(value, state.best_value, state.value),
            new_best=rule.is_new_best(value, state.best_value),
        )

    def _copy(self, candidate: Candidate, shown: Attempt, state: DesignState) -> Candidate:
        """Send back a copy of what was measured before; in the end it earns what that workflow would earn again."""
        error = ErrorReport("Copy", f"it is the same program as {shown.name.removeprefix('seed ')!r}; change it")
        candidate = self._failed(replace(candidate, copies=candidate.copies + 1), error)
        if candidate.status == "needs_repair" or shown.value is None:
            return candidate
        return replace(candidate, reward=self._config.reward(shown.value, state.best_value, state.value))

    def _failed(self, candidate: Candidate, error: ErrorReport) -> Candidate:
        left = self._config.max_repairs - candidate.repairs
        if left > 0:
            return replace(candidate, status="needs_repair", error=error, repairs_left=left)
        return replace(candidate, status="skipped", error=error, reward=self._config.reward.failure)


def best_candidate(candidates: Sequence[Candidate]) -> int:
    """Return the index of the candidate that best-of-m advances with: measured ones first, then by value.

    Ties go to the first.
    """
    rank = {"evaluated": 3, "skipped": 2, "needs_repair": 1, "infrastructure": 0}
    keys = [(rank[c.status], c.value or 0.0) for c in candidates]
    return keys.index(max(keys))


def candidate_view(candidate: Candidate) -> dict[str, Any]:
    """A candidate as the journal keeps it."""
    return {
        "action": candidate.action,
        "status": candidate.status,
        "reward": candidate.reward,
        "new_best": candidate.new_best,
        "cost": candidate.cost,
        "repairs": candidate.repairs,
        "error": candidate.error.text() if candidate.error else "",
        "evaluation": evaluation_view(candidate.evaluation) if candidate.evaluation else None,
    }
