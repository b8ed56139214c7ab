"""AFlow: tree search over workflows with a frozen meta-agent (Zhang et al., arXiv 2410.10762).

Re-implemented from its description. Differences from the published code, on purpose: the search for an untried
modification is bounded, and a modification that helped is shown as one that helped.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from w4s_gym.action import ParsedAction, parse_action
from w4s_gym.algos import checkpoint
from w4s_gym.algos.aflow_operators import DESCRIPTION, with_operators, without_operators
from w4s_gym.algos.base import Algorithm, Batch
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.search import answer_kind, compact_request, failure_log, labelled_line, search_row
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError
from w4s_gym.messages import Message
from w4s_gym.results import Evaluation
from w4s_gym.sandbox.inside.fences import fenced
from w4s_gym.workflows import hand_made_workflow


@dataclass(frozen=True)
class AFlowConfig:
    """Everything that AFlow takes. The constants of the selection are those of the published code."""

    alpha: float = 0.2
    """Sharpness of the score-weighted part of the selection (0.4 in the paper's text)."""
    uniform: float = 0.3
    """Weight lambda of the uniform part (0.2 in the paper's text, 0.4 in its algorithm box)."""
    candidates: int = 4
    """Nodes to choose a parent from: the first one and the best others."""
    rounds: int = 20
    """The search ends after this many rounds, the blank start included."""
    repeats: int = 1
    """Measurements of a node on independent draws (5 in the paper)."""
    tries: int = 3
    """Most requests for a modification that the parent has not tried yet."""
    patience: int = 5
    """Stop when the mean of the best three nodes has not changed for this many rounds."""
    failures: int = 3
    """Failed items shown to the meta-agent."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 <= self.uniform <= 1 or min(self.candidates, self.rounds, self.repeats, self.tries) < 1:
            raise ConfigError(f"expected uniform in [0, 1] and counts of at least 1; got {self}")


@dataclass(frozen=True)
class Experience:
    """What a modification of a parent did."""

    modification: str
    before: float
    after: float

    @property
    def succeeded(self) -> bool:
        """Whether the accuracy rose."""
        return self.after > self.before


@dataclass
class Node:
    """A workflow of the tree."""

    round: int
    parent: int | None
    modification: str
    workflow: str
    scores: list[float]
    """Value on each draw: validation accuracy, less the cost where executor calls have a price."""
    experience: list[Experience] = field(default_factory=list)
    """Modifications of this node that were measured."""
    cost: float = 0.0
    """What its executor calls are worth in accuracy, on average over the draws; 0 unless the reward has a price."""

    @property
    def score(self) -> float:
        """Mean value."""
        return sum(self.scores) / len(self.scores)

    @property
    def accuracy(self) -> float:
        """Mean validation accuracy."""
        return self.score + self.cost


def selection_probabilities(scores: Sequence[float], alpha: float, uniform: float) -> list[float]:
    """Soft mixed selection: P(i) = lambda / n + (1 - lambda) exp(alpha (s_i - s_max)) / sum_j exp(alpha (s_j - s_max)).

    Args:
        scores: scores in percent.
        alpha: sharpness.
        uniform: lambda, the weight of the uniform part.

    Example:
        >>> [round(p, 3) for p in selection_probabilities([50.0, 60.0], alpha=0.2, uniform=0.3)]
        [0.233, 0.767]
    """
    highest = max(scores)
    weights = [math.exp(alpha * (score - highest)) for score in scores]
    return [uniform / len(scores) + (1 - uniform) * weight / sum(weights) for weight in weights]


class AFlow(Algorithm):
    """Modifies one workflow of the tree per call of `collect`."""

    name = "aflow"

    def __init__(self, policy: Policy, config: AFlowConfig | None = None, run: str = "aflow/0") -> None:
        """Search with a frozen policy; `run` names this run in the trajectory rows."""
        self.policy = policy
        self.config = config or AFlowConfig()
        self.run = run
        self.nodes: list[Node] = []
        self.rounds = 0
        self._top: list[float] = []
        self._seed: int | None = None
        self._ready = False

    @property
    def finished(self) -> bool:
        """Whether all rounds are over, or the best three nodes have not changed for `patience` rounds."""
        recent = self._top[-self.config.patience - 1 :]
        settled = len(recent) > self.config.patience and len({round(value, 9) for value in recent}) == 1
        return self.rounds >= self.config.rounds or settled

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Run one round: the first measures the blank start, each later one a modification of a chosen node.

        The seed of the first call fixes the draws of the whole search.
        """
        if not self._ready:
            self._seed = seed if self._seed is None else self._seed
            env.reset(seed=self._seed)
            self._ready = True
        rows: list[Row] = []
        if not self.nodes:
            blank = hand_made_workflow("IO", answer_kind(env))
            scores, cost = self._measure(env, blank)
            self.nodes.append(Node(1, None, "(blank start)", blank, scores, cost=cost))
        else:
            rows = self._expand(env)
        self.rounds += 1
        reached = sorted((node.score for node in self.nodes), reverse=True)
        if len(reached) >= 3:
            self._top.append(sum(reached[:3]) / 3)
        best = max(self.nodes, key=lambda node: node.score)
        measured = [row.accuracy for row in rows if row.accuracy is not None]
        metrics = {"accuracy": measured[-1] if measured else best.accuracy, "nodes": float(len(self.nodes))}
        return Batch(rows, best.workflow, best.accuracy, metrics, best.cost)

    def update(self, batch: Batch) -> dict[str, float]:
        """Nothing is learned: the tree grows in `collect`."""
        return {}

    def save(self, folder: Path) -> None:
        """Write the tree."""
        nodes = [asdict(node) for node in self.nodes]
        state = {"rounds": self.rounds, "seed": self._seed, "top": self._top, "nodes": nodes}
        with checkpoint.saving(folder) as scratch:
            (scratch / "aflow.json").write_text(json.dumps(state, indent=1), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read the tree; the next `collect` goes on with the next round."""
        checkpoint.settle(folder)
        state = json.loads((folder / "aflow.json").read_text(encoding="utf-8"))
        self.rounds, self._seed, self._top = state["rounds"], state["seed"], state["top"]
        self.nodes = [
            Node(**{**node, "experience": [Experience(**entry) for entry in node["experience"]]})
            for node in state["nodes"]
        ]
        self._ready = False

    def choose_parent(self, random: Random) -> int:
        """Draw the index of the node to modify."""
        others = sorted(range(1, len(self.nodes)), key=lambda i: (-self.nodes[i].score, i))
        pool = [0, *others[: self.config.candidates - 1]]
        scores = [100 * self.nodes[i].score for i in pool]
        return random.choices(pool, selection_probabilities(scores, self.config.alpha, self.config.uniform))[0]

    def _draws(self) -> list[int | None]:
        """Draws of the repeats; the first is the episode's own."""
        return [None, *(derive_seed("aflow-repeat", self._seed or 0, k) for k in range(1, self.config.repeats))]

    def _measure(self, env: WorkflowDesignEnv, workflow: str) -> tuple[list[float], float]:
        evaluations = [env.evaluate_workflow(workflow, draw) for draw in self._draws()]
        costs = [env.cost(evaluation) for evaluation in evaluations]
        return [e.accuracy - cost for e, cost in zip(evaluations, costs, strict=True)], sum(costs) / len(costs)

    def _expand(self, env: WorkflowDesignEnv) -> list[Row]:
        """Ask for an untried modification of a chosen node and measure it."""
        random = Random(derive_seed("aflow", self._seed or 0, self.rounds))
        index = self.choose_parent(random)
        parent = self.nodes[index]
        # Measured before on this draw: the environment answers from memory.
        evaluation = env.evaluate_workflow(parent.workflow)
        chat = self._request(env, index, evaluation, random)
        rows = []
        for attempt in range(self.config.tries):
            seed = derive_seed("aflow", self._seed or 0, self.rounds, attempt)
            sample = self.policy.sample([chat], 1, seed)[0][0]
            parsed = parse_action(sample.text)
            if parsed.workflow is None:
                rows.append(
                    search_row(
                        env, chat, sample, run=self.run, step=self.rounds, reward=env.reward_rule.failure, accuracy=None
                    )
                )
                continue
            workflow = with_operators(parsed.workflow)
            modification = _modification(parsed)
            if self._tried(index, modification, workflow):
                rows.append(search_row(env, chat, sample, run=self.run, step=self.rounds, reward=None, accuracy=None))
                continue
            best = max(node.score for node in self.nodes)
            scores, cost = self._measure(env, workflow)
            node = Node(self.rounds + 1, index, modification, workflow, scores, cost=cost)
            reward = env.reward_rule(node.score, best, parent.score)
            rows.append(
                search_row(
                    env,
                    chat,
                    sample,
                    run=self.run,
                    step=self.rounds,
                    reward=reward,
                    accuracy=node.accuracy,
                    chosen=True,
                    new_best=env.reward_rule.is_new_best(node.score, best),
                )
            )
            parent.experience.append(Experience(modification, parent.score, node.score))
            self.nodes.append(node)
            break
        return rows

    def _tried(self, index: int, modification: str, workflow: str) -> bool:
        """Whether this parent has had the modification, or one that leads to the same program."""
        parent = self.nodes[index]
        programs = {node.workflow.strip() for node in self.nodes if node.parent == index} | {parent.workflow.strip()}
        # A compact meta-agent is not asked to name its modification: only the program tells them apart.
        named = parent.experience if self.policy.prompt_style == "full" else []
        words = {_normal(entry.modification) for entry in named}
        return workflow.strip() in programs or _normal(modification) in words

    def _request(self, env: WorkflowDesignEnv, index: int, evaluation: Evaluation, random: Random) -> list[Message]:
        parent = self.nodes[index]
        best = max(node.score for node in self.nodes)
        if self.policy.prompt_style == "compact":
            shown = [(f"round {node.round}", node.score) for node in self.nodes if node.parent == index]
            return compact_request(env, parent.workflow, parent.score, best, shown)
        experience = "\n".join(
            f"- {entry.modification}: {100 * entry.before:.1f} -> {100 * entry.after:.1f} "
            f"({'helped: build on it, but do not repeat it' if entry.succeeded else 'did not help: avoid it'})"
            for entry in parent.experience
        )
        price = env.state.card.price
        less = f", less {price}," if price else ""
        failures = failure_log(env, parent.workflow, evaluation, self.config.failures, random)
        content = (
            f"{DESCRIPTION}\n\nWorkflow to improve (validation {env.state.card.metric}{less} {100 * parent.score:.1f}, "
            f"best of the search {100 * best:.1f}):\n{fenced(without_operators(parent.workflow))}\n\n"
            f"Modifications of it that were tried:\n{experience or '(none)'}\n\n"
            f"Questions it got wrong:\n{failures}\n\n"
            "Make ONE modification of at most 5 changed lines that none of the tried ones equals. Answer with a line "
            "`Modification: ...` that says what it is, then the complete code in one ```python block."
        )
        return [env.messages[0], {"role": "user", "content": content}]


def _modification(parsed: ParsedAction) -> str:
    """Return what the meta-agent says it changed: the marked line, else the last line of its analysis."""
    found = labelled_line(parsed.analysis, "Modification")
    lines = [line.strip() for line in parsed.analysis.splitlines() if line.strip()]
    return (found if found else lines[-1] if lines else "(not said)")[:300]


def _normal(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
