"""What environments work with, one alone or several together: items, executor, sandbox, evaluator and journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from w4s_gym._loop import run_sync
from w4s_gym.benchmark import Benchmark
from w4s_gym.candidates import CandidateTrials
from w4s_gym.config import EnvConfig
from w4s_gym.errors import ConfigError
from w4s_gym.evaluation import Evaluator
from w4s_gym.executor_pool import ExecutorPool, Pool, PoolMember, pool_name, read_pool
from w4s_gym.executors import Executor, make_executor
from w4s_gym.journal import Journal
from w4s_gym.ledger import Caps
from w4s_gym.measure import Measurer
from w4s_gym.paths import user_path
from w4s_gym.remembered import Remembered, remembered
from w4s_gym.sandbox import Sandbox
from w4s_gym.splits import Split, make_split

DEFAULT_EXECUTOR = "sim:gpt-3.5-turbo"
_OPENED = ("executor", "sandbox", "evaluator", "_journal")


class Parts:
    """Opened one by one at first use, closed together; then they can be opened again."""

    def __init__(
        self,
        benchmark: Benchmark,
        benchmark_options: Mapping[str, Any],
        executor: str | Executor | None,
        config: EnvConfig,
    ) -> None:
        """Keep what they are made of; nothing is opened.

        Args:
            benchmark: gives the items.
            benchmark_options: its own options.
            executor: a spec as `make_executor` takes it, or an executor; who made one closes it. None: the default, or
                those of the config, if it has several.
            config: all other options.

        Raises:
            UnknownExecutor: no such executor.
            ConfigError: neither a spec nor an executor, or an executor object together with an `executor_config`, or
                one executor and several.
        """
        self.pool: Pool = {}
        """The executors that `model=` chooses from, by name; empty where there is one executor only."""
        if config.executors is not None:
            if executor is not None:
                raise ConfigError(
                    f"expected either executor or executors; got executor={executor!r:.80} beside the executors "
                    f"{', '.join(map(repr, config.executors))}"
                )
            self.pool = read_pool(config.executors, config.executor_config)
        else:
            executor = DEFAULT_EXECUTOR if executor is None else executor
            PoolMember(executor, config.executor_config).check()
        self._benchmark = benchmark
        self._benchmark_options = benchmark_options
        self._executor = executor
        self._config = config

    def __getstate__(self) -> dict[str, Any]:
        self.check_copy()
        return self.__dict__

    def check_copy(self) -> None:
        """Refuse to be copied or pickled while something is open: processes and connections cannot be.

        Raises:
            TypeError: something is open.
        """
        opened = sorted(name for name in self.__dict__ if name in _OPENED)
        if opened:
            raise TypeError(
                f"an environment in use cannot be copied or pickled: it holds processes ({', '.join(opened)}): "
                "to come back to this moment, use save_state() and load_state(), also in another environment made with "
                "gym.make(env.spec); to copy the environment, call close() first (a later reset opens them again); to "
                "try actions without advancing, use evaluate_candidates()"
            )

    @property
    def executor_name(self) -> str:
        """The executor's spec, or the name of the object."""
        if self._executor is None:
            return pool_name(self.pool)
        return self._executor if isinstance(self._executor, str) else self._executor.name

    @cached_property
    def split(self) -> Split:
        """The fixed validation and test items; loads the data.

        Raises:
            DataMissing: the data was not found; the message names all ways to provide it.
            DataCorrupt: a file is truncated or altered.
        """
        benchmark, config = self._benchmark, self._config
        items = benchmark.load(**self._benchmark_options)
        # Only when asked for: the published lists of some benchmarks need a file of their own.
        published = benchmark.published_split if config.split == "published" else None
        return make_split(
            items,
            config.validation_size or benchmark.validation_size,
            config.test_size or benchmark.test_size,
            config.split_seed,
            config.split,
            published(items) if published else None,
            config.feedback_items,
        )

    @cached_property
    def executor(self) -> Executor:
        """The executor that answers the workflows' calls."""
        if self._executor is None:
            return ExecutorPool(self.pool)
        if isinstance(self._executor, str):
            return make_executor(self._executor, self._config.executor_config)
        return self._executor

    @cached_property
    def sandbox(self) -> Sandbox:
        """The sandbox that workflows run in."""
        config = self._config.sandbox
        return Sandbox(replace(config, allow_unsafe=config.allow_unsafe or self._config.allow_unsafe))

    @cached_property
    def evaluator(self) -> Evaluator:
        """Runs workflows on items; all that use it share its places in flight."""
        return Evaluator(self._benchmark, self.executor, self.sandbox, self._config.limits, self._remembered())

    def _remembered(self) -> Remembered | None:
        """Results of other environments that are like this one, if they are wanted and could not differ."""
        config = self._config
        capped = config.budget != Caps() or config.limits.evaluation_caps != Caps()
        pool = self.pool.values()
        capped = capped or any(member.budget != Caps() for member in pool)
        specs = [self._executor] if self._executor is not None else [member.executor for member in pool]
        # Only of the simulator itself: what wraps it may have more to do, such as to record.
        if not config.remember or capped or not all(isinstance(s, str) and s.startswith("sim:") for s in specs):
            return None
        options = sorted(self._benchmark_options.items())
        executors = self._executor or list(self.pool.items())
        kind = (self._benchmark.name, options, executors, config.executor_config, config.limits, config.sandbox)
        return remembered(repr(kind))

    def make_trials(self) -> CandidateTrials:
        """Make what one environment tries actions with; it keeps the results. May block: data are read."""
        return CandidateTrials(Measurer(self.evaluator, self.sandbox, self.split, self.record), self._config)

    @cached_property
    def _journal(self) -> Journal | None:
        return None if self._config.journal is None else Journal(user_path(self._config.journal))

    def record(self, kind: str, **data: Any) -> None:
        """Write one record to the journal, if there is one."""
        if self._journal is not None:
            self._journal.write(
                kind,
                benchmark=self._benchmark.name,
                executor=self.executor_name,
                simulated=self.executor.simulated,
                split=self.split.hash,
                **data,
            )

    def close(self) -> None:
        """Close what is open; may be called twice."""
        opened = self.__dict__
        if "sandbox" in opened:
            self.sandbox.close()
        if "executor" in opened and not isinstance(self._executor, Executor):
            run_sync(self.executor.close())
        if opened.get("_journal") is not None:
            opened["_journal"].close()
        for name in _OPENED:
            opened.pop(name, None)
