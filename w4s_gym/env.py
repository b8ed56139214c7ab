"""`WorkflowDesignEnv`: designing workflows as a Gymnasium environment."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import gymnasium as gym

from w4s_gym._loop import finish, in_thread, on_shared_loop
from w4s_gym.action import clean_action
from w4s_gym.candidates import best_candidate, candidate_view
from w4s_gym.drawn_requests import without_requests
from w4s_gym.episode import Episode
from w4s_gym.episode_env import EpisodeEnv
from w4s_gym.errors import ConfigError, ProtocolError
from w4s_gym.info import isolation_view
from w4s_gym.messages import Message
from w4s_gym.prompts import feedback_message, observation, opening_messages
from w4s_gym.racing import Race
from w4s_gym.render import render_episode
from w4s_gym.results import Candidate
from w4s_gym.room import NoRoomWarning, no_room
from w4s_gym.state import Attempt, DesignState, after
from w4s_gym.terminal import print_tolerantly

Transition = tuple[str, float, bool, bool, dict[str, Any]]
Repair = Callable[[list[list[Message]]], Sequence[str]]
"""Given the chats of failed candidates, each ending with a repair request, returns one text each."""
AsyncRepair = Callable[[list[list[Message]]], Awaitable[Sequence[str]]]
"""The same, awaited."""


class WorkflowDesignEnv(EpisodeEnv):
    """A meta-agent designs workflows for a frozen executor; the reward is improvement on the validation items.

    The action is a text with an analysis and a fenced ```python block that defines `solver`. A workflow that fails
    its one-sample self-test makes the next observation a repair request (no turn, no validation run). The reward is
    that of `RewardRule`; the test split is reachable only through `evaluate_test`.

    Every method that measures has a coroutine of the same name with an `a` in front (`areset`, `astep`, ...), which can
    be awaited on any event loop and cancelled: a cancelled step leaves the state as it was, after a cancelled reset
    only `areset` or `reset` goes on, and what was asked until then stays on the ledger.

    Source of the method: W4S, arXiv 2504.04785.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 1}  # noqa: RUF012  (as in gymnasium.Env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode: measure the seed workflows (once per draw) and show the best one.

        Args:
            seed: fixes the episode; it also chooses the draw of the executor's randomness (unless the option `draw`
                does), which later resets without a seed keep, so that all candidates of a run are compared on equal
                terms.
            options: none are known.

        Raises:
            ExecutorUnavailable: the seed workflows could not be measured.
        """
        return finish(self.areset(seed=seed, options=options))

    async def areset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """`reset`, awaited."""
        if options:
            raise ConfigError(f"expected no reset options; got {sorted(options)}")
        with self._alone():
            return await self._reset(seed)

    async def _reset(self, seed: int | None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self._over = True  # until the seed workflows are measured
        await in_thread(self._open)
        self._played = self._played if seed is None else seed
        fixed = self.config.draw
        self._episode = Episode(self._played if fixed is None else fixed, self.ledger.child("episode"))
        seeds = self._seeds
        measured = await self.aevaluate_workflows([s.source for s in seeds])
        self.seed_evaluations = {s.name: e for s, e in zip(seeds, measured, strict=True)}
        costs = [self.cost(evaluation) for evaluation in measured]
        full = "" if any(costs) else no_room(self.seed_evaluations, self.executor.simulated)
        if full:
            warnings.warn(full, NoRoomWarning, stacklevel=2)
        start = max(range(len(seeds)), key=lambda i: (measured[i].accuracy - costs[i], -i))
        self._shown = set()
        cases = await self._failure_cases(seeds[start].source, measured[start])
        await in_thread(self.sandbox.report)  # starts the sandbox, if nothing had to be measured
        self._state = DesignState(
            card=self.card,
            turn=0,
            workflow=seeds[start].source,
            accuracy=measured[start].accuracy,
            best=measured[start].accuracy,
            best_workflow=seeds[start].source,
            history=tuple(
                Attempt(f"seed {s.name}", s.source, e.accuracy, is_seed=True, cost=c)
                for s, e, c in zip(seeds, measured, costs, strict=True)
            ),
            cases=cases,
            cost=costs[start],
            best_cost=costs[start],
        )
        self._pending = None
        self._over = False
        self._chat = opening_messages(self._state, self.config.prompt_style)
        self._parts.record(
            "reset",
            seed=seed,
            draw=self._episode.draw,
            seeds={a.name: a.accuracy for a in self._state.history},
            workflow=seeds[start].source,
            isolation=isolation_view(self.sandbox.report()),
        )
        if self.render_mode == "human":
            self.render()
        return observation(self.messages), self._info(None)

    def step(self, action: str) -> Transition:
        """Try one action; see the class for what happens when its workflow fails."""
        return finish(self.astep(action))

    async def astep(self, action: str) -> Transition:
        """`step`, awaited."""
        with self._alone():
            return await self._advance((await self.aevaluate_candidates([action]))[0])

    def render(self) -> str | None:
        """Show the current workflow, the accuracy history and the last failures; `ansi` returns the text."""
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render mode; make the environment with render_mode='ansi'")
            return None
        text = render_episode(self.state, self.split.hash)
        if self.render_mode == "ansi":
            return text
        print_tolerantly(text)
        return None

    def sibling(self) -> WorkflowDesignEnv:
        """Make another environment with the same options that shares all but the episode and the kept results.

        Shared are items, executor, its cache, sandbox, places in flight, journal and `ledger`, budget included. Close
        this environment after its siblings.
        """
        other = WorkflowDesignEnv(render_mode=self.render_mode, **self._made_of)
        other._parts, other._guest = self._parts, True
        other.ledger = self.ledger
        other._episode = Episode(0, self.ledger)
        return other

    # ---- candidates: try without advancing, then advance --------------------------------------------------------

    def evaluate_candidates(
        self,
        actions: Sequence[str],
        repair: Repair | None = None,
        chats: Sequence[Sequence[Message]] | None = None,
    ) -> list[Candidate]:
        """Try several actions in the current state, all in flight together; the state does not advance.

        Args:
            actions: the candidates' texts, in the order of `candidate_messages`.
            repair: asked for repairs of the candidates that fail their self-test, at most `max_repairs` times; without
                it such a candidate has the status `needs_repair`.
            chats: the conversation that each was written for; `candidate_messages(len(actions))` if None.

        Returns:
            One candidate per action. One that could not be measured has the status `infrastructure`.

        Raises:
            ProtocolError: the episode is over, or `reset` was not called.
        """

        async def asked(chats: list[list[Message]]) -> Sequence[str]:
            assert repair is not None
            return repair(chats)

        return finish(self.aevaluate_candidates(actions, asked if repair else None, chats))

    async def aevaluate_candidates(
        self,
        actions: Sequence[str],
        repair: AsyncRepair | None = None,
        chats: Sequence[Sequence[Message]] | None = None,
    ) -> list[Candidate]:
        """`evaluate_candidates`, awaited, and so are the repairs."""
        self._check_open()
        race = self._race()
        chats = self.candidate_messages(len(actions)) if chats is None else chats
        if len(chats) != len(actions):
            raise ProtocolError(f"expected a conversation for each of the {len(actions)} actions; got {len(chats)}")
        first = [clean_action(action) for action in actions]
        candidates = await self._try(first, [self._pending] * len(actions), chats, race)
        while repair is not None:
            waiting = [i for i, c in enumerate(candidates) if c.status == "needs_repair"]
            if not waiting:
                break
            texts = await repair([self._trials.repair_chat(candidates[i]) for i in waiting])
            if len(texts) != len(waiting):
                raise ProtocolError(f"expected the repair function to return {len(waiting)} texts; got {len(texts)}")
            again = [clean_action(text) for text in texts]
            repaired = await self._try(again, [candidates[i] for i in waiting], [chats[i] for i in waiting], race)
            for i, candidate in zip(waiting, repaired, strict=True):
                candidates[i] = candidate
        for candidate in candidates:
            self._parts.record("candidate", turn=self.state.turn, **candidate_view(candidate))
        return candidates

    def advance(self, candidate: Candidate) -> Transition:
        """Advance the state with a candidate of `evaluate_candidates`.

        A candidate that needs a repair makes the next observation a repair request. One that could not be measured
        truncates the episode with reward 0.0; `info["evaluation"]["status"]` is then `infrastructure`, and it must be
        masked out of training.

        Returns:
            The five values of `step`.
        """
        return finish(self.aadvance(candidate))

    async def aadvance(self, candidate: Candidate) -> Transition:
        """`advance`, awaited."""
        with self._alone():
            return await self._advance(candidate)

    async def _advance(self, candidate: Candidate) -> Transition:
        self._check_open()
        before = self.state
        candidate = await self._completed(candidate)
        waits, truncated = candidate.status == "needs_repair", candidate.status == "infrastructure"
        evaluation = candidate.evaluation
        cases = await self._failure_cases(candidate.workflow, evaluation) if evaluation else ()
        # Nothing is awaited from here on, so a step that is cancelled changes nothing.
        self._state = state = after(before, candidate, cases)
        self._pending = candidate if waits else None
        terminated = state.turn >= self.config.max_turns
        self._over = terminated or truncated
        if waits:
            self._chat = self._trials.repair_chat(candidate)
        elif not truncated:
            self._chat = self._chat_after_turn(before, candidate)
            attempt = state.history[-1]
            self._parts.record(
                "turn", turn=state.turn, reward=attempt.reward, accuracy=attempt.accuracy, best=state.best
            )
            if self.render_mode == "human":
                self.render()
        return observation(self.messages), float(candidate.reward or 0.0), terminated, truncated, self._info(candidate)

    def step_best_of(
        self, actions: Sequence[str], repair: Repair | None = None
    ) -> tuple[list[Candidate], int, Transition]:
        """Best-of-m: try all actions together and advance with the best by validation.

        Returns:
            All candidates, the index of the chosen one (ties go to the first), and the five values of `step`.
        """
        candidates = self.evaluate_candidates(actions, repair)
        chosen = best_candidate(candidates)
        candidates[chosen] = finish(self._completed(candidates[chosen]))
        return candidates, chosen, self.advance(candidates[chosen])

    def _race(self) -> Race | None:
        """Make the race that all candidates of the current state take part in, if there is one."""
        rule = self.config.racing
        return (
            None
            if rule is None
            else self._trials.measurer.race(self.state.workflow, self._episode.draw, rule, self.reward_rule)
        )

    async def _try(
        self,
        actions: Sequence[str],
        earlier: Sequence[Candidate | None],
        chats: Sequence[Sequence[Message]],
        race: Race | None,
    ) -> list[Candidate]:
        trying = self._trials.try_all(actions, earlier, chats, self.state, self._episode, race)
        return await on_shared_loop(trying)

    async def _completed(self, candidate: Candidate) -> Candidate:
        return await on_shared_loop(self._trials.complete(candidate, self.state, self._episode))

    def _chat_after_turn(self, before: DesignState, candidate: Candidate) -> list[Message]:
        """Go on with the chat or, at the end of a window, start it afresh; failed attempts are left out."""
        state, style = self.state, self.config.prompt_style
        if state.turn % self.config.window == 0 and state.turn < self.config.max_turns:
            return opening_messages(state, style)
        notes = candidate.evaluation.notes if candidate.evaluation else ()
        return [
            *without_requests(candidate.attempts[0][0]),
            {"role": "assistant", "content": candidate.action},
            feedback_message(state, state.history[-1], before.value, style, notes),
        ]
