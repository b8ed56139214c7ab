"""What a benchmark is: items, a grader and seed workflows, described as data."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, SupportsFloat, TypeVar, get_args

from w4s_gym.errors import ConfigError, UnknownBenchmark
from w4s_gym.options import checked, refuse_unknown
from w4s_gym.plugins import is_plugin, load_plugin
from w4s_gym.sandbox.types import TestJob, TestOutcome

AnswerKind = Literal["number", "text", "choice", "math", "code"]
"""What a correct answer looks like; the simulated executor needs it to write plausible answers."""


@dataclass(frozen=True)
class Item:
    """One benchmark question with its gold answer. Only `task` and `entry_point` are sent to a workflow."""

    id: str
    """Stable and unique inside the benchmark."""
    task: str
    """The text that `solver(agent, task)` receives."""
    gold: Any
    """Gold answer as plain JSON data. Never leaves the host process."""
    kind: AnswerKind = "number"
    """Kind of the answer."""
    question: str = ""
    """Text that identifies the question when splits are de-duplicated (default: `task`)."""
    entry_point: str | None = None
    """Code benchmarks: name of the function to write."""
    public_tests: tuple[str, ...] = ()
    """Code benchmarks: Python statements a workflow may run against a solution."""
    hidden_tests: str = ""
    """Code benchmarks: Python source that raises when a solution is wrong. Never leaves the host and the tester."""
    group: str = ""
    """Slice for reports: language, perturbation type, category."""
    context: Mapping[str, Any] = field(default_factory=dict)
    """Further host-only facts (for instance the prompt that stands in front of a completion)."""

    @property
    def identity(self) -> str:
        """Text by which two items count as the same question."""
        return " ".join((self.question or self.task).split())


@dataclass(frozen=True)
class SeedWorkflow:
    """A hand-made workflow that an episode starts from."""

    name: str
    """Short name, for instance `cot`."""
    source: str
    """Python source that defines `solver`."""


RunTests = Callable[[TestJob], Awaitable[TestOutcome]]
"""Runs hidden tests in the sandbox; handed to graders of code benchmarks."""


class Grader(Protocol):
    """Scores one answer."""

    async def __call__(self, item: Item, answer: str, run_tests: RunTests) -> float:
        """Return the score of `answer` in [0, 1]; must not raise for a strange answer.

        An exception scores the item 0 and is counted in the evaluation's notes and in the journal. So does a grader
        that takes too long; it runs off the event loop, unless it is declared with `never_blocks`.

        Raises:
            SandboxUnavailable: the grader itself could not run; the item is then not scored.
        """
        ...


Score = Callable[[Any, str], float]
"""A pure function of (gold, answer)."""

_Trusted = TypeVar("_Trusted", bound=Callable[..., Any])


def never_blocks(function: _Trusted) -> _Trusted:
    """Declare that a scoring function or a grader never takes long on the event loop, whatever the answer.

    It takes time linear in the answer's length, or awaits what may take longer and limits that itself. It is then
    called where it stands; all others are run off the event loop under a deadline (`w4s_gym.grading`).
    """
    function.never_blocks = True  # type: ignore[attr-defined]
    return function


@dataclass(frozen=True)
class PureGrader:
    """Grades with a pure function of (gold, answer)."""

    tolerant: Score
    published: Score
    """For items that `grading_context` says so of."""

    def score(self, item: Item) -> Score:
        """Return the function that grades this item."""
        return self.published if item.context.get("grading") == "published" else self.tolerant

    async def __call__(self, item: Item, answer: str, run_tests: RunTests) -> float:
        """Grade at once."""
        return self.score(item)(item.gold, answer)


def pure_grader(score: Score) -> PureGrader:
    """Make a grader of a pure function of (gold, answer)."""
    return PureGrader(score, score)


Grading = Literal["tolerant", "published"]
"""`published` scores as the published graders do, which miss forms in which models write right answers."""


def grading_context(grading: str) -> dict[str, Any]:
    """Return what an item's context holds to be graded this way; nothing for `tolerant`.

    Raises:
        ConfigError: no such way.
    """
    if grading not in get_args(Grading):
        raise ConfigError(f'expected grading "tolerant" or "published"; got {grading!r}')
    return {"grading": grading} if grading == "published" else {}


def either_grader(tolerant: Score, published: Score) -> PureGrader:
    """Make a grader of two pure functions of (gold, answer); `grading_context` of the item chooses."""
    return PureGrader(tolerant, published)


def checked_score(score: Any, benchmark: str, item_id: str) -> float:
    """Return what a grader gave as a float; numbers of numpy count as numbers.

    Raises:
        ConfigError: it is no number in [0, 1].
    """
    try:
        value = float(score) if isinstance(score, SupportsFloat) else math.nan
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise ConfigError(
            f"{benchmark}: expected its grader to return a number from 0 to 1; got {score!r:.80} for item {item_id}"
        )
    return value


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as data. `w4s_gym.envs` holds one module per benchmark that builds and registers one."""

    name: str
    """Name in the environment id: `W4S-<name>-v0`."""
    description: str
    """What the task is, for the meta-agent."""
    answer_format: str
    """What `solver` must return as "answer", for the meta-agent."""
    load: Callable[..., Sequence[Item]]
    """`load(**options)` returns all items. Its keyword parameters (`data_path`, `language`, ...) are the benchmark's
    options of `gym.make`. Raises `DataMissing` or `DataCorrupt`."""
    grade: Grader
    """Scores an answer."""
    seeds: tuple[SeedWorkflow, ...]
    """Seed workflows; the first is the one an episode starts from if no other is better."""
    validation_size: int = 128
    """Default number of validation items."""
    test_size: int = 800
    """Default (largest) number of test items."""
    published_split: Callable[[Sequence[Item]], tuple[list[str], list[str]]] | None = None
    """Returns the published lists of (validation, test) item ids, where there are some."""
    metric: str = "accuracy"
    """Name of the mean score: `accuracy`, `f1` or `pass@1`."""
    confidential: bool = False
    """True when the owners ask that questions are never published: texts of items must not be written to logs,
    journals or reports."""
    licence: str = ""
    """Of the items: its SPDX name (`CC-BY-4.0`), or words; empty where nobody has said it."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle and copy a registered benchmark by its name: it holds functions."""
        if self.name in _REGISTRY and get_benchmark(self.name) is self:
            return get_benchmark, (self.name,)
        return super().__reduce_ex__(protocol)

    def check_options(self, given: Mapping[str, Any], others: Sequence[str] = ()) -> None:
        """Refuse options that `load` does not take, or whose values have another type than its annotations say.

        Args:
            given: keyword arguments for `load`.
            others: further names to suggest to who mistyped one.

        Raises:
            ConfigError: an option cannot be used; the message names near ones.
        """
        try:
            parameters = inspect.signature(self.load, eval_str=True).parameters
        except NameError:  # annotations that only a type checker can read
            parameters = inspect.signature(self.load).parameters
        if not any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
            refuse_unknown(given, [*parameters, *others], self.name, "options")
        for name in set(given) & set(parameters):
            hint = parameters[name].annotation
            checked(given[name], Any if hint is inspect.Parameter.empty or isinstance(hint, str) else hint, name)

    def choose_seeds(self, names: Sequence[str] | None) -> tuple[SeedWorkflow, ...]:
        """Return the seed workflows of these names, in the benchmark's order; all for None.

        Raises:
            ConfigError: no name is given, or one that no seed workflow has.
        """
        if names is None:
            return self.seeds
        known = [seed.name for seed in self.seeds]
        if not isinstance(names, list | tuple) or not names or any(name not in known for name in names):
            raise ConfigError(f"seed_workflows: expected a list of one or more of {', '.join(known)}; got {names!r}")
        return tuple(seed for seed in self.seeds if seed.name in names)


_REGISTRY: dict[str, Callable[[], Benchmark]] = {}


def register_benchmark(name: str, factory: Callable[[], Benchmark]) -> None:
    """Make `get_benchmark(name)` and `gym.make("W4S-<name>-v0")` known; `factory` is called when first used."""
    _REGISTRY[name] = factory


def benchmark_names() -> tuple[str, ...]:
    """Names of all registered benchmarks."""
    return tuple(_REGISTRY)


def get_benchmark(name: str | Benchmark) -> Benchmark:
    """Return the benchmark of this name.

    Args:
        name: of a registered benchmark, or `file.py:Name` of a `Benchmark` in a file of yours; or a benchmark itself.

    Raises:
        UnknownBenchmark: no such benchmark; the message lists the known ones.
        ConfigError: the file has no benchmark of this name.

    Example:
        >>> import w4s_gym  # registers the benchmarks
        >>> benchmark = get_benchmark("ChainSum")
        >>> benchmark.metric, [seed.name for seed in benchmark.seeds][:1]
        ('accuracy', ['CoT'])
        >>> item = benchmark.load(size=3)[0]
        >>> item.kind, item.task, item.gold
        ('number', 'State the final answer to the following arithmetic problem: 15 - 43 =', '-28')
    """
    if isinstance(name, Benchmark):
        return name
    if is_plugin(name):
        found = load_plugin(name, "a Benchmark")
        if not isinstance(found, Benchmark):
            raise ConfigError(f"expected {name} to be a Benchmark; got {found!r:.80}")
        return found
    if name not in _REGISTRY:
        raise UnknownBenchmark(f"expected one of {', '.join(sorted(_REGISTRY))}; got benchmark {name!r}")
    return _REGISTRY[name]()
