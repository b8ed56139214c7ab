"""What an environment measures workflows with, before and beside its episodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from threading import Lock
from typing import Any

import gymnasium as gym

from w4s_gym._loop import finish, in_thread, on_shared_loop
from w4s_gym.benchmark import Benchmark, get_benchmark
from w4s_gym.candidates import CandidateTrials
from w4s_gym.config import EnvConfig
from w4s_gym.episode import Episode
from w4s_gym.executor_pool import ExecutorPool
from w4s_gym.executors import Executor
from w4s_gym.ledger import Ledger
from w4s_gym.measure import Part, Trial
from w4s_gym.options import from_fields
from w4s_gym.parts import Parts
from w4s_gym.racing import Saving
from w4s_gym.results import Evaluation, ItemResult
from w4s_gym.sandbox import Sandbox
from w4s_gym.spaces import UnicodeText
from w4s_gym.splits import Split
from w4s_gym.state import TaskCard

_opening = Lock()
"""Several threads may use a fresh environment; its parts are opened once."""


class MeasuringEnv(gym.Env[str, str]):
    """The part of `WorkflowDesignEnv` that needs no episode: its parts, and workflows measured on its items."""

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
        self._episode = Episode(0, self.ledger)

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

    @property
    def measured(self) -> list[tuple[str, Evaluation]]:
        """Every workflow that was measured on all validation items: digest of its source, results."""
        return self._trials.measurer.measured()

    @property
    def saving(self) -> Saving:
        """What racing saved so far."""
        return self._trials.measurer.saving

    def cost(self, evaluation: Evaluation) -> float:
        """What the executor calls behind an evaluation are worth in accuracy: 0 unless the reward has a price.

        Raises:
            ConfigError: the reward has a price of dollars, and the executor's price is unknown.
        """
        return self.reward_rule.cost(evaluation.tokens_per_item, evaluation.dollars_per_item)

    def value(self, evaluation: Evaluation) -> float:
        """What workflows are compared by: their accuracy less `cost`, on which the reward is computed."""
        return evaluation.accuracy - self.cost(evaluation)

    def evaluate_workflow(self, source: str, draw: int | None = None) -> Evaluation:
        """Measure a workflow on the validation items: no action, no reward.

        Args:
            source: Python source that defines `solver`.
            draw: which draw of the executor's randomness; the episode's if None.

        Raises:
            ExecutorUnavailable: too few items could be measured.
            BudgetExceeded: a cap of the run was reached.

        Example:
            >>> from w4s_gym.env import WorkflowDesignEnv
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
            >>> from w4s_gym.env import WorkflowDesignEnv
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

    @property
    def _trials(self) -> CandidateTrials:
        return self._open()

    def _open(self) -> CandidateTrials:
        trials = self._opened
        if trials is None:
            with _opening:
                trials = self._opened = self._opened or self._parts.make_trials()
        return trials

    async def _measure(self, sources: Sequence[str], part: Part, draw: int | None) -> list[Evaluation]:
        await in_thread(self._open)
        return await on_shared_loop(self._trials.measurer.measure(sources, part, self._on_draw(draw)))

    def _on_draw(self, draw: int | None) -> Episode:
        return self._episode if draw is None else replace(self._episode, draw=draw)
