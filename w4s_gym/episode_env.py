"""Where an episode stands: its state and chat, the failures that were shown, and moments to come back to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym

from w4s_gym._loop import finish, on_shared_loop
from w4s_gym.benchmark import Benchmark, Item
from w4s_gym.drawn_requests import draw_requests, with_request
from w4s_gym.episode import Episode
from w4s_gym.errors import BudgetExceeded, ConfigError, ExecutorUnavailable, ProtocolError
from w4s_gym.executors import Executor
from w4s_gym.feedback import Memorising, failed_results, failure_cases, memorising
from w4s_gym.info import build_info
from w4s_gym.measuring_env import MeasuringEnv
from w4s_gym.messages import Message
from w4s_gym.prompts import observation
from w4s_gym.results import Candidate, Evaluation, ItemResult
from w4s_gym.snapshot import Snapshot, made_for
from w4s_gym.state import DesignState, FailureCase


class EpisodeEnv(MeasuringEnv):
    """The part of `WorkflowDesignEnv` that knows where its episode stands; `WorkflowDesignEnv` moves it."""

    def __init__(
        self,
        benchmark: str | Benchmark,
        executor: str | Executor | None = None,
        *,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(benchmark, executor, render_mode=render_mode, **options)
        self.seed_evaluations: dict[str, Evaluation] = {}
        """Validation results of the seed workflows, by name, since the last reset."""
        self._played = 0  # seed of the last reset that had one
        self._state: DesignState | None = None
        self._chat: list[Message] = []
        self._pending: Candidate | None = None
        self._over = False
        self._moving = False
        self._shown: set[str] = set()

    @property
    def state(self) -> DesignState:
        """The current state (immutable).

        Raises:
            ProtocolError: `reset` was not called yet.
        """
        if self._state is None:
            raise ProtocolError("expected reset() to be called first; call env.reset(seed=...)")
        return self._state

    @property
    def messages(self) -> list[Message]:
        """Chat messages of the next decision: those of its first candidate."""
        return self.candidate_messages(1)[0]

    def candidate_messages(self, count: int) -> list[list[Message]]:
        """Chat messages for each of `count` candidates of the current state.

        They are the same for all, unless the option `requests` asks each candidate but the first to change another
        thing. The requests depend on the episode's seed and the turn only; a larger count adds further ones. A
        candidate that waits for its repair has no siblings.
        """
        chats = [[dict(m) for m in self._chat] for _ in range(count)]
        if not self.config.requests or self._pending is not None:
            return chats
        requests = draw_requests(count - 1, f"{self._played}/{self.state.turn}", self.state.card.is_code)
        return [*chats[:1], *(with_request(chat, r) for chat, r in zip(chats[1:], requests, strict=True))]

    def to_show(self, workflow: str, evaluation: Evaluation) -> tuple[tuple[Item, ...], Evaluation]:
        """Return the items whose failures may be shown to whoever designs, and a workflow's results on them.

        Args:
            workflow: its source.
            evaluation: its results on the validation items: those are shown with `feedback_items=0`.

        Returns:
            The items and the results; none, with a warning and a record, if the items could not be measured.
        """
        return finish(self.ato_show(workflow, evaluation))

    async def ato_show(
        self, workflow: str, evaluation: Evaluation, draw: int | None = None
    ) -> tuple[tuple[Item, ...], Evaluation]:
        """`to_show`, awaited; on another draw than the episode's, if one is given."""
        items = self.split.feedback
        if not items:
            self._compare_shown(workflow, evaluation)
            return self.split.validation, evaluation
        try:
            measured = await on_shared_loop(self._trials.measurer.measure_feedback(workflow, self._on_draw(draw)))
        except (ExecutorUnavailable, BudgetExceeded) as error:
            gym.logger.warn(f"no failures are shown: {error}")
            self._parts.record("no_feedback", error=f"{type(error).__name__}: {error}"[:500])
            return items, Evaluation((), len(items))
        self._compare_shown(workflow, measured)
        return items, measured

    def mark_shown(self, results: Iterable[ItemResult]) -> None:
        """Say which items' gold answers were shown to whoever designs, for `memorising`."""
        self._shown.update(result.item_id for result in results)

    @property
    def memorising(self) -> Memorising:
        """How the workflows that failures were shown of did on items shown before them, and on the others."""
        return self._parts.memorising

    def save_state(self) -> Snapshot:
        """Return this moment of the episode, which `load_state` comes back to; nothing is stopped or copied in depth.

        Returns:
            Plain data that can be pickled: it may also be loaded in another process, by an environment that was made
            with the same options.

        Raises:
            ProtocolError: `reset` was not called yet, or a step is under way.

        Example:
            >>> from w4s_gym.env import WorkflowDesignEnv
            >>> env = WorkflowDesignEnv("GSMSymbolic", validation_size=8, test_size=8)
            >>> observation, info = env.reset(seed=0)
            >>> here, action = env.save_state(), env.action_space.sample()
            >>> first = env.step(action)
            >>> observation, info = env.load_state(here)
            >>> env.step(action) == first
            True
            >>> env.close()
        """
        with self._alone():
            return Snapshot(
                made_for=self._made_for(),
                state=self.state,
                chat=tuple(dict(message) for message in self._chat),
                pending=self._pending,
                over=self._over,
                shown=frozenset(self._shown),
                draw=self._episode.draw,
                usage=self._episode.ledger.usage,
                seed_evaluations=dict(self.seed_evaluations),
                randomness=self.np_random.bit_generator.state,
                kept=self._trials.measurer.kept.copy(),
            )

    def load_state(self, saved: Snapshot) -> tuple[str, dict[str, Any]]:
        """Go on from a moment that `save_state` returned: the same actions earn the same rewards again.

        That is exact as long as the executor repeats itself for the same draw, as the simulated ones do and endpoints
        with a cache. What was measured since stays known, and is not paid again (with `racing` it is forgotten, since
        races depend on what was measured before them). What was spent stays on `ledger` and counts against the budget.

        Args:
            saved: taken in this environment, or in one with the same benchmark, executor, items and options.

        Returns:
            Observation and info, as `reset` does. A fresh `gym.make` environment must be stepped through
            `env.unwrapped` then, as its wrappers wait for `reset`.

        Raises:
            ConfigError: the state is of an environment that differs, or is no `Snapshot`.
            ProtocolError: a step is under way.
        """
        if not isinstance(saved, Snapshot):
            raise ConfigError(f"expected what save_state() returned; got {saved!r:.80}")
        with self._alone():
            saved.check(self._made_for())
            kept = saved.kept.copy()
            if self.config.racing is None:
                kept.add(self._trials.measurer.kept)
            self._trials.measurer.kept = kept
            self._episode = Episode(saved.draw, self.ledger.child("episode"))
            self._episode.ledger.usage = saved.usage
            self.np_random.bit_generator.state = saved.randomness
            self.seed_evaluations = dict(saved.seed_evaluations)
            self._state, self._pending, self._over = saved.state, saved.pending, saved.over
            self._chat = [dict(message) for message in saved.chat]
            self._shown = set(saved.shown)
            return observation(self.messages), self._info(saved.pending)

    def _compare_shown(self, workflow: str, evaluation: Evaluation) -> None:
        compared = memorising(evaluation, self._shown)
        accuracies = compared.accuracies()
        if accuracies is not None and self._parts.note_memorising((workflow, frozenset(self._shown)), compared):
            shown, unseen = accuracies
            sizes = {"shown_items": compared.shown_items, "unseen_items": compared.unseen_items}
            self._parts.record("memorising", shown=shown, unseen=unseen, **sizes)

    async def _failure_cases(self, workflow: str, evaluation: Evaluation) -> tuple[FailureCase, ...]:
        """Draw failed items; how much randomness that takes does not depend on the results."""
        items, seen = self.split.validation, evaluation
        if self.config.feedback_cases:
            items, seen = await self.ato_show(workflow, evaluation)
        place = {items[i].id: rank for rank, i in enumerate(self.np_random.permutation(len(items)))}
        failed = sorted(failed_results(seen), key=lambda result: place[result.item_id])[: self.config.feedback_cases]
        cases = failure_cases(self.benchmark, items, failed)
        if cases:
            self.mark_shown(failed)
        return cases

    def _made_for(self) -> dict[str, Any]:
        name = self._parts.executor_name
        return made_for(self.benchmark.name, self._own_options, name, self.split.hash, self.config)

    def _info(self, candidate: Candidate | None) -> dict[str, Any]:
        usage, isolation = self._episode.ledger.usage, self.sandbox.report()
        return build_info(self.messages, self.state, candidate, usage, self.split.hash, isolation)

    def _check_open(self) -> None:
        if self._over:
            raise ProtocolError("the episode is over; call reset() before the next action")
        _ = self.state

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one call at a time move the state."""
        if self._moving:
            raise ProtocolError(
                "expected one reset, step or advance at a time; await it before the next, make several environments, "
                "or try several actions together with aevaluate_candidates"
            )
        self._moving = True
        try:
            yield
        finally:
            self._moving = False
