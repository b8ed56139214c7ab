"""`WorkflowDesignEnv`: designing workflows as a Gymnasium environment."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from threading import Lock
from typing import Any

import gymnasium as gym

from w4s_gym._loop import finish, in_thread, on_shared_loop
from w4s_gym.action import clean_action
from w4s_gym.benchmark import Benchmark, Item, get_benchmark
from w4s_gym.candidates import CandidateTrials, best_candidate, candidate_view
from w4s_gym.config import EnvConfig
from w4s_gym.drawn_requests import draw_requests, with_request
from w4s_gym.episode import Episode
from w4s_gym.errors import BudgetExceeded, ConfigError, ExecutorUnavailable, ProtocolError
from w4s_gym.executor_pool import ExecutorPool
from w4s_gym.executors import Executor
from w4s_gym.feedback import Memorising, failed_results, failure_cases, memorising
from w4s_gym.info import build_info, isolation_view
from w4s_gym.ledger import Ledger
from w4s_gym.measure import Part, Trial
from w4s_gym.messages import Message
from w4s_gym.options import from_fields
from w4s_gym.parts import Parts
from w4s_gym.prompts import feedback_message, observation, opening_messages
from w4s_gym.racing import Race, Saving
from w4s_gym.render import render_episode
from w4s_gym.results import Candidate, Evaluation, ItemResult
from w4s_gym.room import NoRoomWarning, no_room
from w4s_gym.sandbox import Sandbox
from w4s_gym.snapshot import Snapshot, made_for
from w4s_gym.spaces import UnicodeText
from w4s_gym.splits import Split
from w4s_gym.state import Attempt, DesignState, FailureCase, TaskCard, after
from w4s_gym.terminal import print_tolerantly

Transition = tuple[str, float, bool, bool, dict[str, Any]]
Repair = Callable[[list[list[Message]]], Sequence[str]]
"""Given the chats of failed candidates, each ending with a repair request, returns one text each."""
AsyncRepair = Callable[[list[list[Message]]], Awaitable[Sequence[str]]]
"""The same, awaited."""
_opening = Lock()
"""Several threads may use a fresh environment; its parts are opened once."""


class WorkflowDesignEnv(gym.Env[str, str]):
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

    def __init__(
        self,
        benchmark: str | Benchmark,
        executor: str | Executor | None = None,
        *,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Check the options and keep them; data, executor, sandbox and journal are opened at first use.

        Args:
            benchmark: name of a registered benchmark, set by the environment id; or a `Benchmark` of your own,
                `gym.make(any_id, benchmark=MINE)`.
            executor: `sim:<profile>`, `openai:<model>` or `local:<model>`, plain text, so that the environment's spec
                can be pickled; or an `Executor` of your own, which you close yourself. Default: `sim:gpt-3.5-turbo`,
                unless the option `executors` names several.
            render_mode: `ansi` or `human`.
            **options: fields of `EnvConfig`, and the benchmark's own options, for instance `language="de"`.

        Raises:
            UnknownBenchmark: no benchmark of this name.
            UnknownExecutor: no such executor.
            ConfigError: an option cannot be used.
        """
        self.benchmark = get_benchmark(benchmark)
        known = [field.name for field in fields(EnvConfig)]
        own = {name: value for name, value in options.items() if name not in known}
        self.benchmark.check_options(own, known)
        given = {name: value for name, value in options.items() if name in known}
        self.config = from_fields(EnvConfig(), given, "environment")
        self._seeds = self.benchmark.choose_seeds(self.config.seed_workflows)
        self._made_of: dict[str, Any] = {"benchmark": benchmark, "executor": executor, **options}
        self._own_options = own
        self._parts = Parts(benchmark, own, executor, self.config)
        self._opened: CandidateTrials | None = None
        self._guest = False
        self.render_mode = render_mode
        self.observation_space = UnicodeText()
        self.action_space = UnicodeText()
        budgets = {name: member.budget for name, member in self._parts.pool.items()}
        self.ledger = Ledger("run", self.config.budget, executor_caps=budgets)
        """What everything this environment ran has cost, over all episodes."""
        self.reward_rule = self.config.reward
        self.seed_evaluations: dict[str, Evaluation] = {}
        """Validation results of the seed workflows, by name, since the last reset."""
        self._played = 0  # seed of the last reset that had one
        self._episode = Episode(0, self.ledger)
        self._state: DesignState | None = None
        self._chat: list[Message] = []
        self._pending: Candidate | None = None
        self._over = False
        self._moving = False
        self._shown: set[str] = set()

    @property
    def split(self) -> Split:
        """The fixed validation and test items; loads the data at first use.

        Raises:
            DataMissing: the data was not found; the message names all ways to provide it.
            DataCorrupt: a file is truncated or altered.
        """
        return self._parts.split

    @property
    def executor(self) -> Executor:
        """The executor that answers the workflows' calls."""
        return self._parts.executor

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox that workflows run in."""
        return self._parts.sandbox

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

    def _compare_shown(self, workflow: str, evaluation: Evaluation) -> None:
        compared = memorising(evaluation, self._shown)
        accuracies = compared.accuracies()
        if accuracies is not None and self._parts.note_memorising((workflow, frozenset(self._shown)), compared):
            shown, unseen = accuracies
            sizes = {"shown_items": compared.shown_items, "unseen_items": compared.unseen_items}
            self._parts.record("memorising", shown=shown, unseen=unseen, **sizes)

    @property
    def measured(self) -> list[tuple[str, Evaluation]]:
        """Every workflow that was measured on all validation items: digest of its source, results."""
        return self._trials.measurer.measured()

    @property
    def saving(self) -> Saving:
        """What racing saved so far."""
        return self._trials.measurer.saving

    # ---- Gymnasium ----------------------------------------------------------------------------------------------

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

    def __getstate__(self) -> dict[str, Any]:
        self._parts.check_copy()
        return self.__dict__

    def close(self) -> None:
        """Close executor, sandbox and journal; may be called twice. A later `reset` opens them again.

        A sibling leaves them to the environment that it was made of.
        """
        self._opened = None
        if not self._guest:
            self._parts.close()

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

    # ---- searches that branch -----------------------------------------------------------------------------------

    def save_state(self) -> Snapshot:
        """Return this moment of the episode, which `load_state` comes back to; nothing is stopped or copied in depth.

        Returns:
            Plain data that can be pickled: it may also be loaded in another process, by an environment that was made
            with the same options.

        Raises:
            ProtocolError: `reset` was not called yet, or a step is under way.

        Example:
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

    def _made_for(self) -> dict[str, Any]:
        name = self._parts.executor_name
        return made_for(self.benchmark.name, self._own_options, name, self.split.hash, self.config)

    # ---- candidates: try without advancing, then advance --------------------------------------------------------

    def candidate_messages(self, count: int) -> list[list[Message]]:
        """Chat messages for each of `count` candidates of the current state.

        They are the same for all, unless the option `requests` asks each candidate to change another thing. The
        requests depend on the episode's seed and the turn only; a larger count adds further ones. A candidate that
        waits for its repair has no siblings.
        """
        chats = [[dict(m) for m in self._chat] for _ in range(count)]
        if not self.config.requests or self._pending is not None:
            return chats
        requests = draw_requests(count, f"{self._played}/{self.state.turn}", self.state.card.is_code)
        return [with_request(chat, request) for chat, request in zip(chats, requests, strict=True)]

    def evaluate_candidates(self, actions: Sequence[str], repair: Repair | None = None) -> list[Candidate]:
        """Try several actions in the current state, all in flight together; the state does not advance.

        Args:
            actions: the candidates' texts, in the order of `candidate_messages`.
            repair: asked for repairs of the candidates that fail their self-test, at most `max_repairs` times; without
                it such a candidate has the status `needs_repair`.

        Returns:
            One candidate per action. One that could not be measured has the status `infrastructure`.

        Raises:
            ProtocolError: the episode is over, or `reset` was not called.
        """

        async def asked(chats: list[list[Message]]) -> Sequence[str]:
            assert repair is not None
            return repair(chats)

        return finish(self.aevaluate_candidates(actions, asked if repair else None))

    async def aevaluate_candidates(self, actions: Sequence[str], repair: AsyncRepair | None = None) -> list[Candidate]:
        """`evaluate_candidates`, awaited, and so are the repairs."""
        self._check_open()
        race = self._race()
        candidates = await self._try([clean_action(action) for action in actions], [self._pending] * len(actions), race)
        while repair is not None:
            waiting = [i for i, c in enumerate(candidates) if c.status == "needs_repair"]
            if not waiting:
                break
            texts = await repair([self._trials.repair_chat(candidates[i]) for i in waiting])
            if len(texts) != len(waiting):
                raise ProtocolError(f"expected the repair function to return {len(waiting)} texts; got {len(texts)}")
            repaired = await self._try([clean_action(text) for text in texts], [candidates[i] for i in waiting], race)
            for i, again in zip(waiting, repaired, strict=True):
                candidates[i] = again
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

    def cost(self, evaluation: Evaluation) -> float:
        """What the executor calls behind an evaluation are worth in accuracy: 0 unless the reward has a price.

        Raises:
            ConfigError: the reward has a price of dollars, and the executor's price is unknown.
        """
        return self.reward_rule.cost(evaluation.tokens_per_item, evaluation.dollars_per_item)

    def value(self, evaluation: Evaluation) -> float:
        """What workflows are compared by: their accuracy less `cost`, on which the reward is computed."""
        return evaluation.accuracy - self.cost(evaluation)

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

    # ---- measuring workflows --------------------------------------------------------------------------------------

    def evaluate_workflow(self, source: str, draw: int | None = None) -> Evaluation:
        """Measure a workflow on the validation items: no action, no reward.

        Args:
            source: Python source that defines `solver`.
            draw: which draw of the executor's randomness; the episode's if None.

        Raises:
            ExecutorUnavailable: too few items could be measured.
            BudgetExceeded: a cap of the run was reached.

        Example:
            >>> from w4s_gym.workflows import hand_made_workflow
            >>> env = WorkflowDesignEnv("GSMSymbolic", validation_size=8, test_size=8)
            >>> evaluation = env.evaluate_workflow(hand_made_workflow("CoT", "number"))
            >>> len(evaluation.items), 0 <= evaluation.accuracy <= 1, evaluation.statuses
            (8, True, {'ok': 8})
            >>> env.close()
        """
        return self.evaluate_workflows([source], draw)[0]

    def evaluate_workflows(self, sources: Sequence[str], draw: int | None = None) -> list[Evaluation]:
        """Measure several workflows on the validation items, all in flight together; see `evaluate_workflow`."""
        return finish(self.aevaluate_workflows(sources, draw))

    async def aevaluate_workflows(self, sources: Sequence[str], draw: int | None = None) -> list[Evaluation]:
        """`evaluate_workflows`, awaited."""
        return await self._measure(sources, "validation", draw)

    def evaluate_items(self, source: str, places: Sequence[int], draw: int | None = None) -> list[ItemResult]:
        """Measure a workflow on some of the items that failures may be shown from; no action, no reward.

        Args:
            source: Python source that defines `solver`.
            places: positions in `split.feedback` or, without such items, in `split.validation`.
            draw: which draw of the executor's randomness; the episode's if None.

        Raises:
            ExecutorUnavailable: too few of the items could be measured.
            BudgetExceeded: a cap of the run was reached.
        """
        return finish(self.aevaluate_items(source, places, draw))

    async def aevaluate_items(self, source: str, places: Sequence[int], draw: int | None = None) -> list[ItemResult]:
        """`evaluate_items`, awaited."""
        await in_thread(self._open)
        return await on_shared_loop(self._trials.measurer.measure_some(source, places, self._on_draw(draw)))

    def evaluate_test(self, source: str, draw: int | None = None) -> Evaluation:
        """Measure a workflow on the test items: the only door to the test split. Use it once, at the end.

        Args:
            source: Python source that defines `solver`.
            draw: which draw of the executor's randomness; the episode's if None.

        Raises:
            ExecutorUnavailable: too few items could be measured.
            BudgetExceeded: a cap of the run was reached.

        Example:
            >>> env = WorkflowDesignEnv("GSMSymbolic", validation_size=8, test_size=6, max_turns=2)
            >>> observation, info = env.reset(seed=0)
            >>> evaluation = env.evaluate_test(env.state.best_workflow)
            >>> len(evaluation.items), evaluation.usage.calls > 0
            (6, True)
            >>> env.close()
        """
        return finish(self.aevaluate_test(source, draw))

    async def aevaluate_test(self, source: str, draw: int | None = None) -> Evaluation:
        """`evaluate_test`, awaited."""
        return (await self._measure([source], "test", draw))[0]

    # ---- parts of the above ----------------------------------------------------------------------------------------

    @property
    def _trials(self) -> CandidateTrials:
        return self._open()

    def _open(self) -> CandidateTrials:
        trials = self._opened
        if trials is None:
            with _opening:
                trials = self._opened = self._opened or self._parts.make_trials()
        return trials

    async def atry_workflow(self, source: str, draw: int | None = None) -> Trial:
        """Run the self-test on one item, unless `self_test` is off, and then validation; no action, no reward.

        Args:
            source: Python source that defines `solver`.
            draw: which draw of the executor's randomness; the episode's if None.

        Returns:
            The validation results, or why there are none. Nothing that the workflow or the executor does raises.
        """
        trials = await in_thread(self._open)
        return await on_shared_loop(
            trials.measurer.try_workflow(source, self.config.self_test, self._on_draw(draw), must_ask=trials.must_ask)
        )

    async def _measure(self, sources: Sequence[str], part: Part, draw: int | None) -> list[Evaluation]:
        await in_thread(self._open)
        return await on_shared_loop(self._trials.measurer.measure(sources, part, self._on_draw(draw)))

    def _on_draw(self, draw: int | None) -> Episode:
        return self._episode if draw is None else replace(self._episode, draw=draw)

    def _race(self) -> Race | None:
        """Make the race that all candidates of the current state take part in, if there is one."""
        rule = self.config.racing
        return (
            None
            if rule is None
            else self._trials.measurer.race(self.state.workflow, self._episode.draw, rule, self.reward_rule)
        )

    async def _try(
        self, actions: Sequence[str], earlier: Sequence[Candidate | None], race: Race | None
    ) -> list[Candidate]:
        chats = self.candidate_messages(len(actions))
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
            *(dict(m) for m in candidate.attempts[0][0]),
            {"role": "assistant", "content": candidate.action},
            feedback_message(state, state.history[-1], before.value, style, notes),
        ]

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

    @property
    def card(self) -> TaskCard:
        """What is known of the task before the first turn; loads the data at first use."""
        benchmark, first = self.benchmark, self.split.validation[0]
        return TaskCard(
            benchmark=benchmark.name,
            description=benchmark.description,
            answer_format=benchmark.answer_format,
            metric=benchmark.metric,
            executor=self._parts.executor_name,
            simulated=self.executor.simulated,
            max_turns=self.config.max_turns,
            is_code=first.kind == "code",
            example="" if benchmark.confidential else first.task,
            price=self.reward_rule.price_text,
            pool=self.executor.cards() if isinstance(self.executor, ExecutorPool) else (),
        )

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
