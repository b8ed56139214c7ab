"""GEPA: reflective evolution of workflows, by the package `gepa` (Agrawal et al., arXiv 2507.19457; extra `[gepa]`).

The search is the package's own: parents from the Pareto set over validation items, reflection on a few items, a child
is measured on all items if it beats its parent on those few. Here stand the bridge to the environment, which measures
and pays, and to the policy, which reflects. Every call of `collect` goes on with the search for one iteration, from the
state that the package has saved, with random numbers of its own; so a search can stop and go on anywhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Literal, cast

from w4s_gym.action import parse_action
from w4s_gym.algos import checkpoint
from w4s_gym.algos.base import Algorithm, Batch
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.search import compact_request, search_row
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError
from w4s_gym.feedback import failure_cases, list_cases
from w4s_gym.messages import Message
from w4s_gym.prompts import task_text
from w4s_gym.results import Evaluation, ItemResult
from w4s_gym.sandbox.inside.fences import fenced

_log = logging.getLogger(__name__)
_WORKFLOW = "workflow"
"""Name of the one text that is evolved."""
_STATE = "gepa_state.bin"
"""Where the package keeps the state of a search."""
_REQUEST = """\
Current workflow:
```python
<curr_param>
```

What it did on some questions:
<side_info>

Say what its failures have in common and what works. Then give an improved workflow: its complete code in one ```python
block."""

Place = tuple[Literal["shown", "validation"], int]
"""An item as the package knows it: of those that may be shown to whoever designs, or of those that count."""


@dataclass(frozen=True)
class GEPAConfig:
    """What this search takes; the defaults are those of the package."""

    minibatch: int = 3
    """Items that a parent is reflected on, and that a child must do better on to be measured on all."""
    selection: Literal["pareto", "current_best", "epsilon_greedy", "top_k_pareto"] = "pareto"
    """How parents are chosen."""
    iterations: int = 1000
    """Most iterations."""
    patience: int = 20
    """The search ends after so many iterations in a row that called no executor."""

    def __post_init__(self) -> None:
        """Reject numbers that cannot be used."""
        if min(self.minibatch, self.iterations, self.patience) < 1:
            raise ConfigError(f"expected minibatch, iterations and patience of at least 1; got {self}")


class GEPA(Algorithm):
    """Evolves one workflow text; the first call of `collect` measures the best seed workflow."""

    name = "gepa"

    def __init__(self, policy: Policy, config: GEPAConfig | None = None, run: str = "gepa/0") -> None:
        """Search with a frozen policy; `run` names this run in the trajectory rows."""
        self.policy = policy
        self.config = config or GEPAConfig()
        self.run = run
        self.iterations = 0
        """Iterations that are over, the measurement of the seed workflow included."""
        self.measured: dict[str, tuple[float, float]] = {}
        """Accuracy and cost of every workflow that was measured on all items."""
        self._state: bytes | None = None
        self._seed: int | None = None
        self._idle = 0
        self._ready = False

    @property
    def finished(self) -> bool:
        """Whether all iterations are over, or the search has nothing to measure any more."""
        return self.iterations >= self.config.iterations or self._idle >= self.config.patience

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Go on for one iteration; the seed of the first call fixes the draw and the whole search."""
        from gepa import optimize
        from gepa.strategies.batch_sampler import EpochShuffledBatchSampler

        if not self._ready:
            self._seed = seed if self._seed is None else self._seed
            env.reset(seed=self._seed)
            self._ready = True
            for attempt in (a for a in env.state.history if a.is_seed):
                self.measured.setdefault(attempt.workflow, (attempt.accuracy or 0.0, attempt.cost))
        assert self._seed is not None
        before = env.ledger.usage.calls
        bridge = _Bridge(self, env)
        shown, size = bridge.places("shown"), self.config.minibatch
        epoch = max(self.iterations - 1, 0) * size // (-(-len(shown) // size) * size)
        with TemporaryDirectory(prefix="w4s-gepa-") as folder:
            if self._state is not None:
                (Path(folder) / _STATE).write_bytes(self._state)
            try:
                optimize(
                    seed_candidate={_WORKFLOW: env.state.workflow},
                    trainset=shown,
                    valset=bridge.places("validation"),
                    adapter=cast("Any", bridge),  # the protocol is generic over types that only the package has
                    reflection_lm=bridge.reflect,
                    reflection_prompt_template=_REQUEST,
                    candidate_selection_strategy=self.config.selection,
                    batch_sampler=EpochShuffledBatchSampler(size, Random(derive_seed("gepa-items", self._seed, epoch))),
                    stop_callbacks=lambda state: state.i + 1 >= self.iterations,
                    run_dir=folder,
                    logger=bridge,
                    track_best_outputs=False,
                    seed=derive_seed("gepa", self._seed, self.iterations) % 2**31,
                )
            except Exception:
                bridge.raise_failure()
                raise
            bridge.raise_failure()
            self._state = (Path(folder) / _STATE).read_bytes()
        self.iterations += 1
        self._idle = 0 if env.ledger.usage.calls > before else self._idle + 1
        workflow, (accuracy, cost) = max(self.measured.items(), key=lambda known: known[1][0] - known[1][1])
        metrics = {"accuracy": bridge.latest(accuracy), "measured": float(len(self.measured))}
        return Batch(bridge.rows(), workflow, accuracy, metrics, cost)

    def update(self, batch: Batch) -> dict[str, float]:
        """Nothing is learned: the search goes on in `collect`."""
        return {}

    def save(self, folder: Path) -> None:
        """Write the package's state, and what was measured."""
        own = {
            "iterations": self.iterations,
            "idle": self._idle,
            "seed": self._seed,
            "measured": [[workflow, *figures] for workflow, figures in self.measured.items()],
        }
        with checkpoint.saving(folder) as scratch:
            (scratch / "gepa.json").write_text(json.dumps(own, indent=1), encoding="utf-8")
            (scratch / _STATE).write_bytes(self._state or b"")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote. The package's state is a pickle: load only folders of your own."""
        checkpoint.settle(folder)
        own = json.loads((folder / "gepa.json").read_text(encoding="utf-8"))
        self.iterations, self._idle, self._seed = own["iterations"], own["idle"], own["seed"]
        self.measured = {workflow: (accuracy, cost) for workflow, accuracy, cost in own["measured"]}
        self._state = (folder / _STATE).read_bytes() or None
        self._ready = False


class _Bridge:
    """What the package asks: its adapter, its reflecting model and its log, for one iteration."""

    propose_new_texts = None  # the package's own reflection is used

    def __init__(self, search: GEPA, env: WorkflowDesignEnv) -> None:
        self._search, self._env = search, env
        self._known = search._state is not None  # the package measures the seed workflow again when it goes on
        self._parent = env.state.workflow
        self._texts: list[tuple[list[Message], Any]] = []
        self._failure: Exception | None = None

    # ---- adapter: measuring ---------------------------------------------------------------------------------------

    def places(self, kind: Literal["shown", "validation"]) -> list[Place]:
        """The items of a kind."""
        split = self._env.split
        items = split.validation if kind == "validation" else split.feedback or split.validation
        return [(kind, i) for i in range(len(items))]

    def evaluate(self, batch: list[Place], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        """Measure a workflow on items; each score is what the item adds to the workflow's value."""
        from gepa.core.adapter import EvaluationBatch

        workflow = candidate[_WORKFLOW]
        if batch and batch[0][0] == "validation":
            if self._known and workflow == self._env.state.workflow:
                self._known = False
                return EvaluationBatch([""] * len(batch), [0.0] * len(batch))  # the state has its scores
            evaluation = self._ask(lambda: self._env.evaluate_workflow(workflow))
            self._search.measured[workflow] = evaluation.accuracy, self._env.cost(evaluation)
            results = [evaluation.items[i] for _, i in batch]
        else:
            results = self._ask(lambda: self._env.evaluate_items(workflow, [i for _, i in batch]))
            evaluation = Evaluation(tuple(results), len(results))
        traces = list(zip(batch, results, strict=True)) if capture_traces else None
        return EvaluationBatch([r.answer for r in results], [self._value(r, evaluation) for r in results], traces)

    def _value(self, result: ItemResult, evaluation: Evaluation) -> float:
        if result.status == "infrastructure":  # says nothing about the workflow: the mean of the others
            return self._env.value(evaluation)
        return result.score - self._env.reward_rule.cost(result.usage.tokens, result.usage.full_dollars)

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Tell what a workflow did on the items it is reflected on."""
        self._parent = candidate[_WORKFLOW]
        split, benchmark = self._env.split, self._env.benchmark
        items = split.feedback or split.validation
        told = []
        for (_, place), result in eval_batch.trajectories:
            cases = failure_cases(benchmark, items, [result])
            right = "It was right" if result.score >= 1 else "It was not right"
            error = f": {result.error.text()}" if result.error and not benchmark.confidential else ""
            told.append({"Item": f"{place + 1}", "Result": f"{right}{error}.\n{list_cases(cases)}".strip()})
        return {_WORKFLOW: told}

    # ---- reflection -----------------------------------------------------------------------------------------------

    def reflect(self, prompt: str | list[dict[str, Any]]) -> str:
        """Let the policy write; what the package takes out of the answer is the workflow in it."""
        assert isinstance(prompt, str)  # messages are for images, and there are none
        search, env = self._search, self._env
        if search.policy.prompt_style == "compact":
            best = max(accuracy - cost for accuracy, cost in search.measured.values())
            accuracy, cost = search.measured[self._parent]
            chat = compact_request(env, self._parent, accuracy - cost, best, [("parent", accuracy - cost)])
        else:
            chat = [{"role": "system", "content": task_text(env.card)}, {"role": "user", "content": prompt}]
        seed = derive_seed("gepa-text", search._seed or 0, search.iterations, len(self._texts))
        sample = self._ask(lambda: search.policy.sample([chat], 1, seed)[0][0])
        self._texts.append((chat, sample))
        return fenced(parse_action(sample.text).workflow or sample.text)

    def rows(self) -> list[Row]:
        """What the policy wrote, and what it reached where it was measured on all items."""
        env, known = self._env, self._search.measured
        written = []
        for chat, sample in self._texts:
            workflow = (parse_action(sample.text).workflow or "").strip()
            accuracy, cost = known.get(workflow, (None, 0.0))
            reward, new_best = None if workflow else env.reward_rule.failure, False
            if accuracy is not None:
                best = max((a - c for w, (a, c) in known.items() if w != workflow), default=0.0)
                parent = known[self._parent]
                reward = env.reward_rule(accuracy - cost, best, parent[0] - parent[1])
                new_best = env.reward_rule.is_new_best(accuracy - cost, best)
            written.append(
                search_row(
                    env,
                    chat,
                    sample,
                    run=self._search.run,
                    step=self._search.iterations,
                    reward=reward,
                    accuracy=accuracy,
                    chosen=accuracy is not None,
                    new_best=new_best,
                )
            )
        return written

    def latest(self, otherwise: float) -> float:
        """Accuracy of what was measured in this iteration."""
        reached = [row.accuracy for row in self.rows() if row.accuracy is not None]
        return reached[-1] if reached else otherwise

    # ---- what the package would swallow ---------------------------------------------------------------------------

    def log(self, message: str) -> None:
        """Take what the package tells."""
        _log.debug(message)

    def _ask(self, asked: Any) -> Any:
        try:
            return asked()
        except Exception as error:
            self._failure = error
            raise

    def raise_failure(self) -> None:
        """Raise what kept the iteration from being done; the package logs some errors and goes on.

        Raises:
            BudgetExceeded: the run's budget ended.
            ExecutorUnavailable: the executor or the policy's endpoint could not be asked.
        """
        if self._failure is not None:
            raise self._failure
