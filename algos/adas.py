"""ADAS, Meta Agent Search: a frozen meta-agent grows an archive of designs (Hu et al., arXiv 2408.08435).

Re-implemented from its description. Differences from the published code, on purpose: a design that never ran is
dropped instead of being stored with the fitness of another program, and the result is selected by validation (the
published tables take the archive's maximum test score).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np

from w4s_gym.action import parse_action
from w4s_gym.algos import checkpoint
from w4s_gym.algos.base import Algorithm, Batch
from w4s_gym.algos.policies.base import Policy, Sample
from w4s_gym.algos.search import answer_kind, compact_request, first_error, labelled_line, ran, search_row
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.messages import Message
from w4s_gym.prompts import repair_message
from w4s_gym.results import Evaluation
from w4s_gym.sandbox.inside.fences import fenced
from w4s_gym.sandbox.types import ErrorReport
from w4s_gym.workflows import hand_made_workflow

SEEDS = ("CoT", "CoT-SC", "Self-Refine-5", "LLM-Debate", "Step-back", "Quality-Diversity", "Dynamic-roles")
"""The hand-made designs that a published search starts from."""

_TOO_LOW = 0.01
"""An accuracy below this counts as a failure to run."""

_NOVELTY = """\
Look at your design again. Compare it with the designs above: is it really new, or a variant of one of them? Find \
mistakes in its code, and everything that keeps it from a higher score. Then give the improved design: a line \
`Name: ...`, your thoughts, and the complete code in one ```python block."""
_CHECKLIST = """\
Check the code once more against what goes wrong most often: an argument of an agent call that does not exist; a reply \
used as a text where it is a list, or as a dict where it is a list of dicts; a key that was not asked for in \
return_dict_keys; the question missing from a later prompt; an answer that is a whole reply and not its final value; \
votes over texts that were not stripped; an exception of execute_code that nobody catches; no return on some path. \
Correct what you find and give the final design: a line `Name: ...`, your thoughts, and the complete code in one \
```python block."""
_REQUEST = """\
Think of the next design. Maximise its fitness, and make it interestingly new: learn from the archive, and borrow from \
other fields where that helps. Answer with a line `Name: ...`, then your thoughts (the idea, and each step of the code \
in words), then the complete code in one ```python block."""


@dataclass(frozen=True)
class AdasConfig:
    """Everything that Meta Agent Search takes."""

    context: Literal["all", "none", "parents"] = "all"
    """Which earlier designs the meta-agent sees: the whole archive (published), none, or a few good parents. A later
    study (arXiv 2510.06711) found the whole archive worse than nothing, and parents better."""
    parents: int = 3
    """Number of parents of the context rule `parents`; drawn in proportion to their accuracy (ours)."""
    reflections: int | None = None
    """Rounds of self-criticism before a design is measured, at most 2. None means 2 (published), or 0 for a meta-agent
    of the compact prompt style, which has never seen a criticism."""
    evaluations: int = 3
    """Most measurements of one design: on an error, or an accuracy below 0.01, a fix is asked for."""
    generations: int = 30
    """The search ends after this many generations (published)."""


@dataclass(frozen=True)
class Design:
    """A member of the archive."""

    name: str
    thought: str
    workflow: str
    accuracy: float
    low: float
    median: float
    high: float
    generation: int
    cost: float = 0.0
    """What its executor calls are worth in accuracy; 0 unless the reward has a price."""

    @property
    def value(self) -> float:
        """What it is compared by."""
        return self.accuracy - self.cost

    @property
    def fitness(self) -> str:
        """The fitness as the meta-agent sees it."""
        less = f", less {100 * self.cost:.1f}% for its executor calls" if self.cost else ""
        return (
            f"95% bootstrap interval of the accuracy ({100 * self.low:.1f}%, {100 * self.high:.1f}%), "
            f"median {100 * self.median:.1f}%{less}"
        )


class Adas(Algorithm):
    """Grows an archive of designs, one generation per call of `collect`; every measured design is kept."""

    name = "adas"

    def __init__(self, policy: Policy, config: AdasConfig | None = None, run: str = "adas/0") -> None:
        """Search with a frozen policy.

        Args:
            policy: the meta-agent.
            config: settings (default: the published ones).
            run: `<algorithm>/<seed>`, kept in the rows.
        """
        self.policy = policy
        self.config = config or AdasConfig()
        self.run = run
        self.archive: list[Design] = []
        self.generation = 0
        self._seed: int | None = None
        self._ready = False
        compact = policy.prompt_style == "compact"
        self._reflections = self.config.reflections if self.config.reflections is not None else 0 if compact else 2

    @property
    def finished(self) -> bool:
        """Whether all generations are over."""
        return self.generation >= self.config.generations

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Run one generation; the first call also measures the seed designs.

        The seed of the first call fixes the draw for the whole search, so that all designs are measured alike.
        """
        if not self._ready:
            self._seed = seed if self._seed is None else self._seed
            env.reset(seed=self._seed)
            self._ready = True
            if not self.archive:
                self._measure_seeds(env)
        rows = self._generate(env)
        self.generation += 1
        best = max(self.archive, key=lambda d: d.value)
        measured = [row.accuracy for row in rows if row.accuracy is not None]
        metrics = {
            "accuracy": measured[-1] if measured else 0.0,
            "runnable": float(bool(measured)),
            "archive": float(len(self.archive)),
        }
        return Batch(rows, best.workflow, best.accuracy, metrics, best.cost)

    def update(self, batch: Batch) -> dict[str, float]:
        """Nothing is learned: the archive grows in `collect`."""
        return {}

    def save(self, folder: Path) -> None:
        """Write the archive."""
        state = {
            "generation": self.generation,
            "seed": self._seed,
            "archive": [asdict(design) for design in self.archive],
        }
        with checkpoint.saving(folder) as scratch:
            (scratch / "adas.json").write_text(json.dumps(state, indent=1), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read the archive; the next `collect` goes on with the next generation."""
        checkpoint.settle(folder)
        state = json.loads((folder / "adas.json").read_text(encoding="utf-8"))
        self.generation, self._seed = state["generation"], state["seed"]
        self.archive = [Design(**design) for design in state["archive"]]
        self._ready = False

    def _measure_seeds(self, env: WorkflowDesignEnv) -> None:
        sources = [hand_made_workflow(name, answer_kind(env)) for name in SEEDS]
        for name, source, evaluation in zip(SEEDS, sources, env.evaluate_workflows(sources), strict=True):
            self.archive.append(self._design(name, "A published design.", source, evaluation, env.cost(evaluation)))

    def _design(self, name: str, thought: str, workflow: str, evaluation: Evaluation, cost: float) -> Design:
        scores = np.array([result.score for result in evaluation.scored])
        rng = np.random.default_rng(derive_seed("adas-fitness", len(self.archive)))
        means = scores[rng.integers(len(scores), size=(1000, len(scores)))].mean(axis=1)
        low, median, high = (float(v) for v in np.quantile(means, [0.025, 0.5, 0.975]))
        return Design(name, thought, workflow, evaluation.accuracy, low, median, high, self.generation, cost)

    def _generate(self, env: WorkflowDesignEnv) -> list[Row]:
        """Ask for a design, let the policy reflect on it, measure it, and let the policy fix it if it fails."""
        assert self._seed is not None
        best = max(design.value for design in self.archive)
        chat = self._request(env, best)
        written = [self._ask(chat, "design")]
        rows = []
        for number, request in enumerate((_NOVELTY, _CHECKLIST)[: self._reflections]):
            rows.append(self._row(env, chat, written[-1], None, None))
            chat = [*chat, {"role": "assistant", "content": written[-1].text}, {"role": "user", "content": request}]
            written.append(self._ask(chat, f"reflection {number}"))
        sample = written[-1]
        for attempt in range(self.config.evaluations):
            parsed = parse_action(sample.text)
            evaluation = None if parsed.workflow is None else env.evaluate_workflow(parsed.workflow)
            if evaluation is not None and ran(evaluation):
                value = env.value(evaluation)
                reward = env.reward_rule(value, best, best)
                new_best = env.reward_rule.is_new_best(value, best)
                rows.append(self._row(env, chat, sample, reward, evaluation.accuracy, attempt > 0, new_best))
                failed = evaluation.accuracy < _TOO_LOW
            else:
                rows.append(self._row(env, chat, sample, env.reward_rule.failure, None, attempt > 0))
                failed = True
            last = attempt == self.config.evaluations - 1
            if evaluation is not None and parsed.workflow is not None and (not failed or (last and ran(evaluation))):
                name = _name_of(parsed.analysis) or f"design {self.generation + 1}"
                self.archive.append(
                    self._design(name, parsed.analysis, parsed.workflow, evaluation, env.cost(evaluation))
                )
                break
            if not last:
                error = _failure(parsed.problem, evaluation)
                request_fix = repair_message(error, self.config.evaluations - attempt - 1, self.policy.prompt_style)
                chat = [*chat, {"role": "assistant", "content": sample.text}, request_fix]
                sample = self._ask(chat, f"fix {attempt}")
        return rows

    def _ask(self, chat: Sequence[Message], step: str) -> Sample:
        seed = derive_seed("adas", self._seed or 0, self.generation, step)
        return self.policy.sample([chat], 1, seed)[0][0]

    def _row(
        self,
        env: WorkflowDesignEnv,
        chat: Sequence[Message],
        sample: Sample,
        reward: float | None,
        accuracy: float | None,
        repair: bool = False,
        new_best: bool = False,
    ) -> Row:
        return search_row(
            env,
            chat,
            sample,
            run=self.run,
            step=self.generation,
            reward=reward,
            accuracy=accuracy,
            repair=repair,
            new_best=new_best,
        )

    def _context(self) -> list[Design]:
        if self.config.context == "all":
            return list(self.archive)
        if self.config.context == "none":
            return []
        random = Random(derive_seed("adas-parents", self._seed or 0, self.generation))
        pool, chosen = list(self.archive), list[Design]()
        while pool and len(chosen) < self.config.parents:
            design = random.choices(pool, [max(d.value, 0.0) + 1e-6 for d in pool])[0]
            pool.remove(design)
            chosen.append(design)
        return sorted(chosen, key=lambda d: d.generation)

    def _request(self, env: WorkflowDesignEnv, best: float) -> list[Message]:
        shown = self._context()
        if self.policy.prompt_style == "compact":
            parent = max(shown or self.archive[:1], key=lambda d: d.value)
            names = [(design.name, design.value) for design in shown]
            return compact_request(env, parent.workflow, parent.value, best, names)
        archive = "\n\n".join(
            f"Name: {d.name} (generation {d.generation})\nFitness: {d.fitness}\nThought: {d.thought}\n"
            f"{fenced(d.workflow)}"
            for d in shown
        )
        content = (
            f"Example question:\n{env.state.card.example[:1500]}\n\n"
            + (f"Archive of the designs measured so far:\n{archive}\n\n" if archive else "")
            + _REQUEST
        )
        return [env.messages[0], {"role": "user", "content": content}]


def _name_of(analysis: str) -> str:
    return (labelled_line(analysis, "Name") or "").strip("*` ")[:80]


def _failure(problem: str, evaluation: Evaluation | None) -> ErrorReport:
    """Say why a design counts as failed."""
    if evaluation is None:
        return ErrorReport("NoWorkflow", problem)
    return first_error(evaluation) or ErrorReport(
        "LowAccuracy", f"the accuracy is {evaluation.accuracy:.3f}: no answer is right, so the code must be wrong"
    )
