"""Plain baselines: without them a gain proves nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

from w4s_gym.algos import checkpoint
from w4s_gym.algos.base import Algorithm, Batch
from w4s_gym.algos.random_edits import random_edit
from w4s_gym.algos.search import answer_kind
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.benchmark import AnswerKind
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError
from w4s_gym.workflows import hand_made_workflow

_DIRECT = """\
def solver(agent, task, entry_point=None):
    text = agent.call_llm(messages=[{{"role": "user", "content": task}}], temperature=0.0)[0]
    return {{"answer": {final}}}
"""
_FINAL = {"number": "agent.extract_answer_str(text)", "code": "agent.extract_code_block(text, entry_point=entry_point)"}
"""Kind of answer -> how it is taken out of a reply; other answers are the reply."""
_TEXT_VOTES = """\
from collections import Counter


def solver(agent, task):
    texts = agent.call_llm(
        messages=[{{"role": "user", "content": task}}],
        temperature=0.8,
        num_of_response={votes},
        instructions="Think step by step. End with the final answer.",
    )
    answers = [agent.extract_answer_str(text) for text in texts]
    return {{"answer": Counter(answers).most_common(1)[0][0]}}
"""
MAX_VOTES = 60
"""Most samples of CoT-SC; one call of a workflow may ask for 64."""


@dataclass(frozen=True)
class Found:
    """The best workflow a baseline has measured."""

    workflow: str
    accuracy: float
    cost: float = 0.0
    """What its executor calls are worth in accuracy; 0 unless the reward has a price."""

    @property
    def value(self) -> float:
        """What it is compared by."""
        return self.accuracy - self.cost


class _Baseline(Algorithm):
    """Keeps the best workflow by validation; nothing is learned. Baselines ask no meta-agent and write no rows."""

    def __init__(self) -> None:
        self.best = Found("", -1.0)
        self._seed: int | None = None
        self._iteration = 0
        self._ready = False

    def update(self, batch: Batch) -> dict[str, float]:
        """Nothing is learned."""
        return {}

    def save(self, folder: Path) -> None:
        """Write the best workflow and where the search is."""
        state = {
            "workflow": self.best.workflow,
            "accuracy": self.best.accuracy,
            "cost": self.best.cost,
            "seed": self._seed,
            "iteration": self._iteration,
        }
        with checkpoint.saving(folder) as scratch:
            (scratch / f"{self.name}.json").write_text(json.dumps(state, indent=1), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        checkpoint.settle(folder)
        state = json.loads((folder / f"{self.name}.json").read_text(encoding="utf-8"))
        self.best = Found(state["workflow"], state["accuracy"], state.get("cost", 0.0))
        self._seed, self._iteration = state["seed"], state["iteration"]
        self._ready = False

    def _open(self, env: WorkflowDesignEnv, seed: int) -> int:
        """Reset the environment on the first call; the first seed fixes the draw of the whole run."""
        if not self._ready:
            self._seed = seed if self._seed is None else self._seed
            env.reset(seed=self._seed)
            self._ready = True
        assert self._seed is not None
        return self._seed

    def _keep(self, found: Found) -> None:
        if not self.best.workflow or found.value > self.best.value:
            self.best = found

    def _keep_seeds(self, env: WorkflowDesignEnv) -> None:
        for attempt in env.state.history:
            if attempt.is_seed:
                self._keep(Found(attempt.workflow, attempt.accuracy or 0.0, attempt.cost))

    def _batch(self, metrics: dict[str, float]) -> Batch:
        self._iteration += 1
        return Batch([], self.best.workflow, self.best.accuracy, metrics, self.best.cost)


class SeedWorkflows(_Baseline):
    """The best of the benchmark's seed workflows: what is there before any design."""

    name = "seed"

    @property
    def finished(self) -> bool:
        """Whether the seeds were measured."""
        return self._iteration > 0

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Measure the seed workflows."""
        self._open(env, seed)
        self._keep_seeds(env)
        return self._batch({"accuracy": self.best.accuracy})


class Direct(_Baseline):
    """The model by itself: the question is all that it is given, once, in plain text."""

    name = "direct"

    @property
    def finished(self) -> bool:
        """Whether it was asked."""
        return self._iteration > 0

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Ask the validation items."""
        self._open(env, seed)
        workflow = _DIRECT.format(final=_FINAL.get(answer_kind(env), "text"))
        evaluation = env.evaluate_workflow(workflow)
        self._keep(Found(workflow, evaluation.accuracy, env.cost(evaluation)))
        return self._batch({"accuracy": self.best.accuracy})


@dataclass(frozen=True)
class CotSCConfig:
    """Everything that CoT-SC takes."""

    tokens_per_item: float | None = None
    """Prompt and completion tokens that another workflow spends on an item, to be matched by the number of samples;
    None means the usual five samples."""
    form: Literal["json", "text"] = "json"
    """How the chains are written: under JSON keys as in the hand-made workflow, or as plain text, which suits small
    executors better."""


class CotSC(_Baseline):
    """CoT-SC with as many samples as another workflow's tokens pay for."""

    name = "cot_sc"

    def __init__(self, config: CotSCConfig | None = None) -> None:
        """Match a token budget, if there is one."""
        super().__init__()
        self.config = config or CotSCConfig()
        self.votes = 5

    @property
    def finished(self) -> bool:
        """Whether the matched workflow was measured."""
        return self._iteration > 0

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Measure the price of a sample, then the workflow with the number of samples that fits."""
        self._open(env, seed)
        kind, tokens, form = answer_kind(env), self.config.tokens_per_item, self.config.form
        if tokens is not None and kind != "code":
            # Two points of a line: the prompt is paid once a call, each further sample costs its completion.
            one, five = (env.evaluate_workflow(cot_sc(n, kind, form)).tokens_per_item for n in (1, 5))
            per_sample = max((five - one) / 4, 1e-9)
            self.votes = max(1, min(MAX_VOTES, round(1 + (tokens - one) / per_sample)))
        workflow = cot_sc(self.votes, kind, form)
        evaluation = env.evaluate_workflow(workflow)
        self._keep(Found(workflow, evaluation.accuracy, env.cost(evaluation)))
        return self._batch(
            {"accuracy": evaluation.accuracy, "votes": float(self.votes), "tokens": evaluation.tokens_per_item}
        )


def cot_sc(votes: int, kind: AnswerKind, form: str = "json") -> str:
    """Return CoT-SC with this many samples. For programs, which cannot be counted, `votes` must be 5."""
    if form == "text" and kind != "code":
        return _TEXT_VOTES.format(votes=votes)
    source = hand_made_workflow("CoT-SC", kind)
    if kind == "code":
        if votes != 5:
            raise ConfigError(f"expected 5 votes for programs, which a judge chooses from; got {votes}")
        return source
    edited = source.replace("num_of_response=5", f"num_of_response={votes}").replace("five chains", "several chains")
    if votes != 5 and edited == source:
        raise ConfigError("expected the hand-made CoT-SC to ask for five samples")
    return edited


@dataclass(frozen=True)
class RandomEditsConfig:
    """Everything that random edits take."""

    candidates: int = 5
    """Edits measured in each call of `collect` (as many as a meta-agent writes in a state)."""

    def __post_init__(self) -> None:
        """Reject numbers that cannot be used."""
        if self.candidates < 1:
            raise ConfigError(f"expected at least 1 candidate; got {self.candidates}")


class RandomEdits(_Baseline):
    """Best of N random edits: each is made of a workflow drawn from the seeds and the best so far."""

    name = "random_edits"

    def __init__(self, config: RandomEditsConfig | None = None) -> None:
        """Start from the seed workflows."""
        super().__init__()
        self.config = config or RandomEditsConfig()

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Measure some random edits."""
        base = self._open(env, seed)
        seeds = [attempt for attempt in env.state.history if attempt.is_seed]
        self._keep_seeds(env)
        random = Random(derive_seed("random-edits", base, self._iteration))
        pool = [*(attempt.workflow for attempt in seeds), self.best.workflow]
        edits = [random_edit(random.choice(pool), random) for _ in range(self.config.candidates)]
        evaluations = env.evaluate_workflows(edits)
        for workflow, evaluation in zip(edits, evaluations, strict=True):
            self._keep(Found(workflow, evaluation.accuracy, env.cost(evaluation)))
        mean = sum(evaluation.accuracy for evaluation in evaluations) / len(evaluations)
        return self._batch({"accuracy": mean, "best": self.best.accuracy})
