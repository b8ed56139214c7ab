"""What environments work with, one alone or several together: items, executor, sandbox, evaluator and journal."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from w4s_gym._loop import on_shared_loop, run_sync
from w4s_gym.benchmark import Benchmark, Item, get_benchmark
from w4s_gym.candidates import CandidateTrials
from w4s_gym.cluster import ItemActors, Measured
from w4s_gym.config import EnvConfig
from w4s_gym.episode import Episode
from w4s_gym.errors import ConfigError
from w4s_gym.evaluation import Evaluator
from w4s_gym.executor_pool import ExecutorPool, Pool, PoolMember, pool_name, read_pool
from w4s_gym.executors import Executor, make_executor
from w4s_gym.feedback import Memorising
from w4s_gym.journal import Journal
from w4s_gym.ledger import Caps, Ledger
from w4s_gym.measure import Measurer
from w4s_gym.paths import user_path
from w4s_gym.remembered import Remembered, remembered
from w4s_gym.sandbox import RememberingSandbox, Sandbox
from w4s_gym.shares import working_for
from w4s_gym.splits import Split, make_split

DEFAULT_EXECUTOR = "sim:gpt-3.5-turbo"
_OPENED = ("executor", "sandbox", "evaluator", "_actors", "_journal")


class Parts:
    """Opened one by one at first use, closed together; then they can be opened again."""

    def __init__(
        self,
        benchmark: str | Benchmark,
        benchmark_options: Mapping[str, Any],
        executor: str | Executor | None,
        config: EnvConfig,
    ) -> None:
        """Keep what they are made of; nothing is opened.

        Args:
            benchmark: that gives the items, or its name, as `get_benchmark` takes it.
            benchmark_options: its own options.
            executor: a spec as `make_executor` takes it, or an executor; who made one closes it. None: the default, or
                those of the config, if it has several.
            config: all other options.

        Raises:
            UnknownExecutor: no such executor.
            ConfigError: neither a spec nor an executor, or an executor object together with an `executor_config`, or
                one executor and several, or environment actors with an executor object or with caps.
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
        self._spec = benchmark
        self._benchmark = get_benchmark(benchmark)
        self._benchmark_options = benchmark_options
        self._executor = executor
        self._config = config
        if config.cluster is not None:
            if not all(isinstance(spec, str) for spec in self._specs):
                raise ConfigError("expected an executor by its spec with `cluster`: actors make executors of their own")
            if self._capped:
                raise ConfigError(
                    "expected no `budget` and no `evaluation_caps` (max_dollars in studies) with `cluster`: actors pay "
                    "on their own, so that caps over several items could be passed"
                )
        self._compared: dict[Hashable, Memorising] = {}

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
            self._feedback_items(),
        )

    def _feedback_items(self) -> int:
        benchmark, config = self._benchmark, self._config
        if config.feedback_items is not None:
            return config.feedback_items
        if config.split == "published" or benchmark.confidential:
            return 0
        return max(1, (config.validation_size or benchmark.validation_size) // 4)

    @property
    def memorising(self) -> Memorising:
        """How workflows did on items that were shown before them, and on the others: sum over all environments."""
        return sum(self._compared.values(), Memorising())

    def note_memorising(self, key: Hashable, compared: Memorising) -> bool:
        """Add to `memorising`; return whether it was new: what is played again under the same key counts once."""
        new = key not in self._compared
        self._compared[key] = compared
        return new

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
        kind = RememberingSandbox if self._config.remember else Sandbox
        return kind(replace(config, allow_unsafe=config.allow_unsafe or self._config.allow_unsafe))

    @cached_property
    def evaluator(self) -> Evaluator:
        """Runs workflows on items; all that use it share its places in flight."""
        config = self._config
        actors = None if config.cluster is None else self._actors
        return Evaluator(self._benchmark, self.executor, self.sandbox, config.limits, self._remembered(), actors)

    @cached_property
    def _actors(self) -> ItemActors:
        config = self._config
        assert config.cluster is not None
        alone = replace(config, cluster=None, journal=None, remember=False)
        make = partial(_Items, self._spec, dict(self._benchmark_options), self._executor, alone)
        return ItemActors(config.cluster, make, name=self._benchmark.name)

    @property
    def _specs(self) -> list[str | Executor]:
        """What is asked: one executor, or those of the pool."""
        return [self._executor] if self._executor is not None else [member.executor for member in self.pool.values()]

    @property
    def _capped(self) -> bool:
        """Whether there are caps over several items."""
        config = self._config
        caps = (config.budget, config.limits.evaluation_caps, *(member.budget for member in self.pool.values()))
        return any(cap != Caps() for cap in caps)

    def _remembered(self) -> Remembered | None:
        """Results of other environments that are like this one, if they are wanted and could not differ."""
        config = self._config
        # Only of the simulator itself: what wraps it may have more to do, such as to record.
        simulated = all(isinstance(spec, str) and spec.startswith("sim:") for spec in self._specs)
        if not config.remember or self._capped or not simulated:
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
        if "_actors" in opened:
            self._actors.close()
        if "sandbox" in opened:
            self.sandbox.close()
        if "executor" in opened and not isinstance(self._executor, Executor):
            run_sync(self.executor.close())
        if opened.get("_journal") is not None:
            opened["_journal"].close()
        for name in _OPENED:
            opened.pop(name, None)


class _Items:
    """What an environment actor runs items with: parts of its own."""

    def __init__(
        self,
        benchmark: str | Benchmark,
        options: Mapping[str, Any],
        executor: str | Executor | None,
        config: EnvConfig,
    ) -> None:
        self._parts = Parts(benchmark, options, executor, config)

    async def run(self, workflow: str, item: Item, draw: int) -> Measured:
        """Run one workflow on one item."""
        notes: set[str] = set()
        with working_for(workflow):
            running = self._parts.evaluator.run_item(workflow, item, Episode(draw, Ledger("actor")), notes)
            result = await on_shared_loop(running)
        return result, frozenset(notes)
