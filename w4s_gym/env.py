"""`WorkflowDesignEnv`: designing workflows as a Gymnasium environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium as gym

from w4s_gym._loop import run_sync
from w4s_gym.benchmark import Item, get_benchmark
from w4s_gym.candidates import CandidateTrials, best_candidate, candidate_view
from w4s_gym.errors import ConfigError, ProtocolError
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors import Executor, make_executor
from w4s_gym.info import build_info, isolation_view
from w4s_gym.journal import Journal
from w4s_gym.ledger import Caps, Ledger
from w4s_gym.measure import Measurer
from w4s_gym.messages import Message
from w4s_gym.options import from_fields
from w4s_gym.prompts import PromptStyle, feedback_message, opening_messages, render_text
from w4s_gym.racing import Race, RacingRule, Saving
from w4s_gym.render import render_episode
from w4s_gym.results import Candidate, Evaluation
from w4s_gym.reward import RewardRule
from w4s_gym.sandbox import Sandbox, SandboxConfig
from w4s_gym.spaces import UnicodeText
from w4s_gym.splits import Split, SplitKind, make_split
from w4s_gym.state import Attempt, DesignState, FailureCase, TaskCard

Transition = tuple[str, float, bool, bool, dict[str, Any]]
Repair = Callable[[list[list[Message]]], Sequence[str]]
"""Given the chats of failed candidates, each ending with a repair request, returns one text each."""


class WorkflowDesignEnv(gym.Env[str, str]):
    """A meta-agent designs workflows for a frozen executor; the reward is improvement on the validation items.

    The action is a text with an analysis and a fenced ```python block that defines `solver`. A workflow that fails
    its one-sample self-test makes the next observation a repair request (no turn, no validation run). The reward is
    that of `RewardRule`; the test split is reachable only through `evaluate_test`.

    Source of the method: W4S, arXiv 2504.04785.
    """

    metadata = {"render_modes": ["ansi", "human"], "render_fps": 1}  # noqa: RUF012  (as in gymnasium.Env)

    def __init__(
        self,
        benchmark: str,
        executor: str = "sim:gpt-4o-mini",
        *,
        executor_config: dict[str, Any] | None = None,
        max_turns: int = 10,
        window: int = 2,
        max_repairs: int = 3,
        self_test: bool = True,
        feedback_cases: int = 5,
        prompt_style: PromptStyle = "full",
        reward: dict[str, Any] | None = None,
        seed_workflows: Sequence[str] | None = None,
        validation_size: int | None = None,
        test_size: int | None = None,
        split_seed: int = 0,
        split: SplitKind = "seeded",
        limits: dict[str, Any] | None = None,
        budget: dict[str, Any] | None = None,
        racing: dict[str, Any] | None = None,
        sandbox: dict[str, Any] | None = None,
        allow_unsafe: bool = False,
        journal: str | None = None,
        render_mode: str | None = None,
        **benchmark_options: Any,
    ) -> None:
        """Keep the options; data, executor and sandbox are opened at first use.

        Args:
            benchmark: name of a registered benchmark, set by the environment id.
            executor: `sim:<profile>`, `openai:<model>` or `local:<model>`; plain text, so specs can be pickled.
            executor_config: plain JSON options of the executor (base URL, cache folder, ...).
            max_turns: length of an episode in turns.
            window: number of turns after which the chat starts afresh from the seeds and the current workflow.
            max_repairs: repairs of one action before it is skipped.
            self_test: run a new workflow on one sample before it is measured.
            feedback_cases: number of failed validation items shown after a turn; 0 shows none.
            prompt_style: `full` or `compact` (for meta-agents with a small context).
            reward: fields of `RewardRule`.
            seed_workflows: names of the benchmark's seed workflows that an episode starts with; None takes all. With a
                poor one alone (`["CoT"]`) it is for the meta-agent to find what the others know.
            validation_size: number of validation items; the benchmark's default if None.
            test_size: largest number of test items; the benchmark's default if None.
            split_seed: seed of the split (not of the episode).
            split: `seeded`, or `published` where the benchmark has published lists.
            limits: fields of `EvaluationLimits`.
            budget: fields of `Caps`, for all that this environment runs.
            racing: fields of `RacingRule`, to end the validation of candidates that can hardly earn a reward (an empty
                dict takes the defaults; a candidate that is given up earns the reward of its predicted accuracy); None
                measures every candidate on all items.
            sandbox: fields of `SandboxConfig`.
            allow_unsafe: accept a machine that cannot isolate workflows.
            journal: file that gets a line for every evaluation.
            render_mode: `ansi` or `human`.
            **benchmark_options: the benchmark's own options, for instance `language="de"`.

        Raises:
            UnknownBenchmark: no benchmark of this name.
            ConfigError: an option cannot be used.
        """
        self._benchmark = get_benchmark(benchmark)
        for name, value, least in (
            ("max_turns", max_turns, 1),
            ("window", window, 1),
            ("max_repairs", max_repairs, 0),
            ("feedback_cases", feedback_cases, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"expected {name} to be a whole number of at least {least}; got {value!r}")
        if prompt_style not in ("full", "compact"):
            raise ConfigError(f"expected prompt_style 'full' or 'compact'; got {prompt_style!r}")
        self._executor_name = executor
        self._executor_config = dict(executor_config or {})
        self._max_turns = max_turns
        self._window = window
        self._max_repairs = max_repairs
        self._self_test = self_test
        self._feedback_cases = feedback_cases
        self._prompt_style: PromptStyle = prompt_style
        self.reward_rule = from_fields(RewardRule(), reward, "reward")
        self._seeds = self._benchmark.choose_seeds(seed_workflows)
        self._split_options = (
            validation_size if validation_size is not None else self._benchmark.validation_size,
            test_size if test_size is not None else self._benchmark.test_size,
            split_seed,
            split,
        )
        self._limits = from_fields(EvaluationLimits(), limits, "limits")
        self._sandbox_config = from_fields(
            SandboxConfig(), {**(sandbox or {}), "allow_unsafe": allow_unsafe}, "sandbox"
        )
        self._racing: RacingRule | None = None if racing is None else from_fields(RacingRule(), racing, "racing")
        self._journal = Journal(Path(journal)) if journal else None
        self._benchmark_options = benchmark_options
        self.render_mode = render_mode
        self.observation_space = UnicodeText()
        self.action_space = UnicodeText()
        self.ledger = Ledger("run", from_fields(Caps(), budget, "budget"))
        """What everything this environment ran has cost, over all episodes."""
        self._episode = self.ledger

        self._draw = 0
        self._opened = False
        self._state: DesignState | None = None
        self._chat: list[Message] = []
        self._pending: Candidate | None = None
        self._over = False
        self.seed_evaluations: dict[str, Evaluation] = {}
        """Validation results of the seed workflows, by name, since the last reset."""

    # ---- parts that are opened at first use -------------------------------------------------------------------

    @cached_property
    def split(self) -> Split:
        """The fixed validation and test items; loads the data at first use.

        Raises:
            DataMissing: the data was not found; the message names all ways to provide it.
            DataCorrupt: a file is truncated or altered.
        """
        try:
            items = self._benchmark.load(**self._benchmark_options)
        except TypeError as error:
            if "unexpected keyword argument" in str(error):
                raise ConfigError(f"{self._benchmark.name}: {error}; it is no option of this benchmark") from error
            raise
        validation_size, test_size, seed, kind = self._split_options
        # Only when asked for: the published lists of some benchmarks need a file of their own.
        published = self._benchmark.published_split if kind == "published" else None
        return make_split(items, validation_size, test_size, seed, kind, published(items) if published else None)

    @cached_property
    def executor(self) -> Executor:
        """The executor that answers the workflows' calls."""
        return make_executor(self._executor_name, self._executor_config)

    @cached_property
    def sandbox(self) -> Sandbox:
        """The sandbox that workflows run in."""
        return Sandbox(self._sandbox_config)

    @cached_property
    def _measurer(self) -> Measurer:
        self._opened = True
        evaluator = Evaluator(self._benchmark, self.executor, self.sandbox, self._limits)
        return Measurer(evaluator, self.sandbox, self.split, self._record)

    @cached_property
    def _trials(self) -> CandidateTrials:
        return CandidateTrials(self._measurer, self.reward_rule, self._prompt_style, self._max_repairs, self._self_test)

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
        """Chat messages of the next decision."""
        return [dict(m) for m in self._chat]

    # ---- Gymnasium ----------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode: measure the seed workflows (once per draw) and show the best one.

        Args:
            seed: fixes the episode; it also chooses the draw of the executor's randomness, which later resets
                without a seed keep, so that all candidates of a run are compared on equal terms.
            options: none are known.

        Raises:
            ExecutorUnavailable: the seed workflows could not be measured.
        """
        super().reset(seed=seed)
        if options:
            raise ConfigError(f"expected no reset options; got {sorted(options)}")
        if seed is not None:
            self._draw = seed
        self._episode = self.ledger.child("episode")
        seeds = self._seeds
        measured = self.evaluate_workflows([s.source for s in seeds])
        self.seed_evaluations = {s.name: e for s, e in zip(seeds, measured, strict=True)}
        history = tuple(
            Attempt(f"seed {s.name}", s.source, e.accuracy, is_seed=True) for s, e in zip(seeds, measured, strict=True)
        )
        start = max(range(len(seeds)), key=lambda i: (measured[i].accuracy, -i))
        self._state = DesignState(
            card=self._card(),
            turn=0,
            workflow=seeds[start].source,
            accuracy=measured[start].accuracy,
            best=measured[start].accuracy,
            best_workflow=seeds[start].source,
            history=history,
            cases=self._failure_cases(measured[start]),
        )
        self._pending = None
        self._over = False
        self._chat = opening_messages(self._state, self._prompt_style)
        self._record(
            "reset",
            seed=seed,
            draw=self._draw,
            seeds={a.name: a.accuracy for a in history},
            isolation=isolation_view(self.sandbox.report()),
        )
        if self.render_mode == "human":
            self.render()
        return render_text(self._chat), self._info(None)

    def step(self, action: str) -> Transition:
        """Try one action; see the class for what happens when its workflow fails."""
        candidate = self.evaluate_candidates([action])[0]
        return self.advance(candidate)

    def render(self) -> str | None:
        """Show the current workflow, the accuracy history and the last failures; `ansi` returns the text."""
        if self.render_mode is None:
            gym.logger.warn("render() was called without a render mode; make the environment with render_mode='ansi'")
            return None
        text = render_episode(self.state, self.split.hash)
        if self.render_mode == "ansi":
            return text
        print(text, flush=True)
        return None

    def close(self) -> None:
        """Close executor and sandbox; may be called twice."""
        if self._opened:
            self._opened = False
            self.sandbox.close()
            run_sync(self.executor.close())
            for name in ("executor", "sandbox", "_measurer", "_trials"):
                self.__dict__.pop(name, None)

    # ---- candidates: try without advancing, then advance --------------------------------------------------------

    def evaluate_candidates(self, actions: Sequence[str], repair: Repair | None = None) -> list[Candidate]:
        """Try several actions in the current state, all in flight together; the state does not advance.

        Args:
            actions: the candidates' texts.
            repair: asked for repairs of the candidates that fail their self-test, at most `max_repairs` times; without
                it such a candidate has the status `needs_repair`.

        Returns:
            One candidate per action. One that could not be measured has the status `infrastructure`.

        Raises:
            ProtocolError: the episode is over, or `reset` was not called.
        """
        self._check_open()
        first = self._pending
        # Lone surrogates cannot be written to a file or sent to the sandbox.
        actions = [_checked(action) for action in actions]
        race = self._race()
        candidates = self._try(actions, [first] * len(actions), race)
        while repair is not None:
            waiting = [i for i, c in enumerate(candidates) if c.status == "needs_repair"]
            if not waiting:
                break
            texts = repair([self._trials.repair_chat(candidates[i]) for i in waiting])
            if len(texts) != len(waiting):
                raise ProtocolError(f"expected the repair function to return {len(waiting)} texts; got {len(texts)}")
            repaired = self._try(texts, [candidates[i] for i in waiting], race)
            for i, again in zip(waiting, repaired, strict=True):
                candidates[i] = again
        for candidate in candidates:
            self._record("candidate", turn=self.state.turn, **candidate_view(candidate))
        return candidates

    def advance(self, candidate: Candidate) -> Transition:
        """Advance the state with a candidate of `evaluate_candidates`.

        A candidate that needs a repair makes the next observation a repair request. One that could not be measured
        truncates the episode with reward 0.0; `info["evaluation"]["status"]` is then `infrastructure`, and it must be
        masked out of training.

        Returns:
            The five values of `step`.
        """
        self._check_open()
        if candidate.status == "needs_repair":
            assert candidate.error is not None
            self._pending = candidate
            self._state = replace(
                self.state, repair=candidate.error, repairs_left=self._max_repairs - candidate.repairs
            )
            self._chat = self._trials.repair_chat(candidate)
            return render_text(self._chat), 0.0, False, False, self._info(candidate)
        self._pending = None
        candidate = self._completed(candidate)
        if candidate.status == "infrastructure":
            return self._truncated(candidate)
        before = self.state
        reward = float(candidate.reward or 0.0)
        attempt = Attempt(f"turn {before.turn + 1}", candidate.workflow, candidate.accuracy, reward=reward)
        state = replace(before, turn=before.turn + 1, history=(*before.history, attempt), repair=None, repairs_left=0)
        if candidate.evaluation is not None:
            accuracy = candidate.evaluation.accuracy
            state = replace(
                state,
                workflow=candidate.workflow,
                accuracy=accuracy,
                best=max(before.best, accuracy),
                best_workflow=candidate.workflow if accuracy > before.best else before.best_workflow,
                cases=self._failure_cases(candidate.evaluation),
            )
        self._state = state
        terminated = state.turn >= self._max_turns
        self._over = terminated
        if state.turn % self._window == 0 and not terminated:
            self._chat = opening_messages(state, self._prompt_style)
        else:
            answer: Message = {"role": "assistant", "content": candidate.action}
            feedback = feedback_message(
                state,
                attempt,
                before.accuracy,
                self._prompt_style,
                candidate.evaluation.notes if candidate.evaluation else (),
            )
            self._chat = [*self._turn_chat(candidate), answer, feedback]
        self._record("turn", turn=state.turn, reward=reward, accuracy=candidate.accuracy, best=state.best)
        if self.render_mode == "human":
            self.render()
        return render_text(self._chat), reward, terminated, False, self._info(candidate)

    def step_best_of(
        self, actions: Sequence[str], repair: Repair | None = None
    ) -> tuple[list[Candidate], int, Transition]:
        """Best-of-m: try all actions together and advance with the best by validation accuracy.

        Returns:
            All candidates, the index of the chosen one (ties go to the first), and the five values of `step`.
        """
        candidates = self.evaluate_candidates(actions, repair)
        chosen = best_candidate(candidates)
        candidates[chosen] = self._completed(candidates[chosen])
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
        """
        return self.evaluate_workflows([source], draw)[0]

    def evaluate_workflows(self, sources: Sequence[str], draw: int | None = None) -> list[Evaluation]:
        """Measure several workflows on the validation items, all in flight together; see `evaluate_workflow`."""
        return run_sync(
            self._measurer.measure(sources, "validation", self._draw if draw is None else draw, self._episode)
        )

    def evaluate_test(self, source: str, draw: int | None = None) -> Evaluation:
        """Measure a workflow on the test items: the only door to the test split. Use it once, at the end.

        Args:
            source: Python source that defines `solver`.
            draw: which draw of the executor's randomness; the episode's if None.

        Raises:
            ExecutorUnavailable: too few items could be measured.
            BudgetExceeded: a cap of the run was reached.
        """
        return run_sync(self._measurer.measure([source], "test", self._draw if draw is None else draw, self._episode))[
            0
        ]

    @property
    def saving(self) -> Saving:
        """What racing saved so far."""
        return self._measurer.saving

    def _race(self) -> Race | None:
        """Make the race that all candidates of the current state take part in, if there is one."""
        return None if self._racing is None else self._measurer.race(self.state.workflow, self._draw, self._racing)

    def _truncated(self, candidate: Candidate) -> Transition:
        """End the episode with a candidate that could not be measured."""
        self._over = True
        self._state = replace(self.state, repair=None, repairs_left=0)
        return render_text(self._chat), 0.0, False, True, self._info(candidate)

    def _try(self, actions: Sequence[str], earlier: Sequence[Candidate | None], race: Race | None) -> list[Candidate]:
        chat, state = self._chat, self.state
        return run_sync(self._trials.try_all(actions, earlier, chat, state, self._draw, self._episode, race))

    def _completed(self, candidate: Candidate) -> Candidate:
        return run_sync(self._trials.complete(candidate, self.state, self._draw, self._episode))

    # ---- views ------------------------------------------------------------------------------------------------------

    def _turn_chat(self, candidate: Candidate) -> list[Message]:
        """Chat of the turn's decision; failed attempts and their repairs are left out of what follows."""
        return [dict(m) for m in candidate.attempts[0][0]]

    def _failure_cases(self, evaluation: Evaluation) -> tuple[FailureCase, ...]:
        """Sample failed validation items; the number of random draws does not depend on the results.

        Questions of a confidential benchmark never enter a prompt: prompts are written to disk as trajectories.
        """
        order = self.np_random.permutation(len(self.split.validation))
        by_id = {item.id: item for item in self.split.validation}
        failed = [evaluation.items[i] for i in order if i < len(evaluation.items) and evaluation.items[i].score < 1.0]
        failed = [r for r in failed if r.status != "infrastructure"]
        return tuple(
            FailureCase(
                by_id[r.item_id].task,
                r.answer if r.status == "ok" else f"({r.error.text() if r.error else r.status})",
                _gold_text(by_id[r.item_id]),
            )
            for r in failed[: 0 if self._benchmark.confidential else self._feedback_cases]
        )

    def _card(self) -> TaskCard:
        return TaskCard(
            benchmark=self._benchmark.name,
            description=self._benchmark.description,
            answer_format=self._benchmark.answer_format,
            metric=self._benchmark.metric,
            executor=self._executor_name,
            simulated=self.executor.simulated,
            max_turns=self._max_turns,
            is_code=self.split.validation[0].kind == "code",
            example="" if self._benchmark.confidential else self.split.validation[0].task,
        )

    def _info(self, candidate: Candidate | None) -> dict[str, Any]:
        return build_info(
            self.messages, self.state, candidate, self._episode.usage, self.split.hash, self.sandbox.report()
        )

    def _record(self, kind: str, **data: Any) -> None:
        if self._journal is not None:
            self._journal.write(
                kind,
                benchmark=self._benchmark.name,
                executor=self._executor_name,
                simulated=self.executor.simulated,
                split=self.split.hash,
                **data,
            )

    def _check_open(self) -> None:
        if self._over:
            raise ProtocolError("the episode is over; call reset() before the next action")
        _ = self.state


def _checked(action: str) -> str:
    if not isinstance(action, str):
        raise TypeError(f"expected an action of type str; got {type(action).__name__}: {action!r:.80}")
    return action.encode("utf-8", "replace").decode("utf-8")


def _gold_text(item: Item) -> str:
    """Gold answer of a validation item, for feedback. A code item's solution is not shown."""
    return "(a program that passes the hidden tests)" if item.kind == "code" else str(item.gold)
