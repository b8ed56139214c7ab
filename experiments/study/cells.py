"""One cell of a comparison: one designer with one seed, from training to the test.

A cell is a pure function of the configuration, the designer and the seed (and, for CoT-SC, of another designer's
result). Its result is plain JSON data; wall-clock times stand apart from the rest.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym

import w4s_gym  # noqa: F401  (registers the environments)
from w4s_gym.algos.base import Algorithm
from w4s_gym.algos.design import DesignEpisode, design_episodes
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import write_rows
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import BudgetExceeded
from w4s_gym.executors.base import Usage
from w4s_gym.measure import digest
from w4s_gym.racing import Saving
from w4s_gym.results import Candidate, Evaluation
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.designers import Designer, Setup, find_designer
from w4s_gym.study.jobs import Report

TRAINING_SHARE = 0.6
"""Share of a cell's dollars that training or search may spend; the rest is for evaluation."""


def make_environment(
    config: CompareConfig,
    prompt_style: str,
    max_turns: int,
    *,
    share: float = 1.0,
    racing: bool = False,
    folder: Path | None = None,
) -> WorkflowDesignEnv:
    """Make the environment of a comparison.

    Args:
        config: the comparison.
        prompt_style: of the meta-agent.
        max_turns: length of an episode.
        share: share of a cell's dollars that it may spend, if there is a limit.
        racing: end the validation of candidates that can hardly earn a reward, by the rule in `--env-options` or the
            default one.
        folder: folder of the cell; keeps the replies of an executor that costs money or time, so that a cell that is
            computed again after an interruption pays nothing twice.

    Raises:
        ConfigError: an option cannot be used.
    """
    responses = None if folder is None or config.executor.startswith("sim:") else folder / "responses"
    options = {**config.environment_options(share, responses), "prompt_style": prompt_style, "max_turns": max_turns}
    options.setdefault("remember", True)  # designers with one seed start from the same states
    options["racing"] = options.get("racing", {}) if racing else None
    env = gym.make(config.env, disable_env_checker=True, **options).unwrapped
    assert isinstance(env, WorkflowDesignEnv)
    return env


def run_cell(
    config: CompareConfig, algo: str, seed: int, folder: Path, tokens_per_item: float | None, report: Report
) -> dict[str, Any]:
    """Train or search with one designer, then measure what it designs.

    Args:
        config: the comparison.
        algo: name of the designer.
        seed: seed of this cell.
        folder: gets the trajectories (`rows.jsonl`) and the final state of the algorithm.
        tokens_per_item: for CoT-SC, what the found workflow spends on an item.
        report: told what is being done.

    Returns:
        `curve`, `training` (usage), `racing` (what it saved), `search` (best workflow of the run), `design` (episodes
        at the design budget, for meta-agents), `workflows` (what was tested, by digest), `seconds` (wall clock).
    """
    clock = _Clock()
    designer, policy, algorithm = _make(config, algo, seed, tokens_per_item, report)
    style = policy.prompt_style if policy else "compact"
    env = make_environment(config, style, config.turns, share=TRAINING_SHARE, racing=config.racing, folder=folder)
    try:
        trained = train([env], algorithm, config, config.budget, seed, folder, report, clock)
    finally:
        env.close()
    meta_agent = policy if designer.meta_agent else None
    measured = measure(config, meta_agent, trained.best, seed, folder, report)
    return {**trained.record(), **measured, "seconds": clock.stop()}


def run_transfer_cell(
    config: CompareConfig, trained_on: tuple[str, ...], targets: tuple[str, ...], algo: str, seed: int, folder: Path,
    report: Report,
) -> dict[str, Any]:  # fmt: skip
    """Train a meta-agent on several benchmarks in turn, then let it design for others that it has never seen.

    Args:
        config: everything but the environments.
        trained_on: environment ids to train on.
        targets: environment ids to design for.
        algo: name of the designer; it must be a meta-agent.
        seed: seed of this cell.
        folder: gets the trajectories and the final state of the algorithm.
        report: told what is being done.

    Returns:
        `curve`, `training`, `targets` (environment id -> `design` and `workflows`), `seconds`.
    """
    clock = _Clock()
    _, policy, algorithm = _make(config, algo, seed, None, report)
    assert policy is not None
    # A meta-agent that does not learn need not spend anything on the training benchmarks.
    budget = config.budget if find_designer(algo).trains else 0
    share = TRAINING_SHARE / len(trained_on)
    style = policy.prompt_style
    envs = [
        make_environment(
            replace(config, env=name), style, config.turns, share=share, racing=config.racing, folder=folder
        )
        for name in trained_on
    ]
    try:
        trained = train(envs, algorithm, config, budget, seed, folder, report, clock)
    finally:
        for env in envs:
            env.close()
    share = (1 - TRAINING_SHARE) / len(targets)
    measured = {name: measure(replace(config, env=name), policy, None, seed, folder, report, share) for name in targets}
    return {**trained.record(), "targets": measured, "seconds": clock.stop()}


class _Clock:
    """Wall-clock seconds of a cell; they are kept apart from everything that must be the same in every run."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.search = 0.0
        self.learning = 0.0

    def stop(self) -> dict[str, float]:
        total = time.monotonic() - self._start
        return {
            "search": self.search,
            "learning": self.learning,
            "evaluation": total - self.search,
            "all": total,
        }


def _make(
    config: CompareConfig, algo: str, seed: int, tokens_per_item: float | None, report: Report
) -> tuple[Designer, Policy | None, Algorithm]:
    designer = find_designer(algo)
    report("loading", 0.0)
    policy = load_policy(config) if designer.needs_policy else None
    setup = Setup(policy, config.candidates, f"{algo}/{seed}", seed, tokens_per_item, config.options_of(algo))
    return designer, policy, designer.make(setup)


def load_policy(config: CompareConfig) -> Policy:
    """Make the meta-agent; its arithmetic is done by one thread, so that results do not depend on the machine's load.

    Raises:
        ConfigError: there is no such policy.
    """
    from w4s_gym.algos import make_policy

    if not config.policy.startswith("openai:"):
        import torch

        torch.set_num_threads(1)
    return make_policy(config.policy, **config.options_of_policy())


@dataclass(frozen=True)
class Trained:
    """What a run of an algorithm left."""

    best: tuple[str, float]
    """Best workflow by validation, with its accuracy."""
    curve: list[dict[str, Any]]
    """The learning curve: calls so far, best so far, and the algorithm's own figures, per iteration."""
    usage: dict[str, Any]
    """What it cost, summed over the environments."""
    saving: Saving
    """What racing saved."""

    def record(self) -> dict[str, Any]:
        """Return what the journal keeps."""
        return {"curve": self.curve, "training": self.usage, "racing": asdict(self.saving)}


def train(
    envs: list[WorkflowDesignEnv],
    algorithm: Algorithm,
    config: CompareConfig,
    budget: int,
    seed: int,
    folder: Path,
    report: Report,
    clock: _Clock,
) -> Trained:
    """Collect and update until the budget is spent; iterations take turns on the environments.

    The run ends at the iteration boundary that is nearest to the budget, so that no measurement is cut in half and the
    numbers do not depend on which call came first.
    """
    start = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "rows.jsonl"
    rows.unlink(missing_ok=True)  # an earlier attempt at this cell was interrupted
    curve: list[dict[str, Any]] = []
    best = ("", -1.0)
    while not algorithm.finished:
        calls = sum(env.ledger.usage.calls for env in envs)
        typical = calls / len(curve) if curve else 0.0
        if calls + typical / 2 >= budget or len(curve) == (config.iterations or -1):
            break
        report("searching", calls / budget)
        try:
            batch = algorithm.collect(envs[len(curve) % len(envs)], derive_seed("collect", seed, len(curve)) % 2**31)
        except BudgetExceeded:
            if not curve:
                raise
            break  # the dollars are spent: what was learned so far is measured
        write_rows(rows, batch.rows)
        if batch.best_accuracy > best[1]:
            best = (batch.best_workflow, batch.best_accuracy)
        learning = time.monotonic()
        learned = algorithm.update(batch)
        clock.learning += time.monotonic() - learning
        calls = sum(env.ledger.usage.calls for env in envs)
        curve.append({"calls": calls, "best": best[1], **batch.metrics, **learned})
    algorithm.save(folder / "state")
    clock.search = time.monotonic() - start
    saving = sum((env.saving for env in envs), Saving(0, 0, 0, 0))
    return Trained(best, curve, asdict(sum((env.ledger.usage for env in envs), Usage())), saving)


def measure(
    config: CompareConfig,
    meta_agent: Policy | None,
    found: tuple[str, float] | None,
    seed: int,
    folder: Path,
    report: Report,
    share: float = 1 - TRAINING_SHARE,
) -> dict[str, Any]:
    """Measure the result of a search, and let a meta-agent design at the small budget; then test.

    Args:
        config: the comparison; its `env` is the benchmark that is designed for.
        meta_agent: asked for designs; None for designers that only search.
        found: best workflow of the search with its validation accuracy, if there was a search.
        seed: seed of the cell; design episodes and draws are the same for all designers.
        folder: folder of the cell.
        report: told what is being done.
        share: share of the cell's dollars that this may cost, if there is a limit.

    Returns:
        `search` and `design` where they apply, and `workflows`.
    """
    style = meta_agent.prompt_style if meta_agent else "compact"
    turns = max(config.design_turns, config.curve_turns)
    env = make_environment(config, style, turns, share=share, folder=folder)
    try:
        tested = _Tested(env, seed)
        result: dict[str, Any] = {}
        if found is not None:
            result["search"] = tested.search(found)
        if meta_agent is not None:
            report(f"designing ({config.env})", 0.0)
            result["design"] = _design(env, meta_agent, config, tested, report)
        return {**result, "workflows": tested.workflows}
    finally:
        env.close()


class _Tested:
    """Tests workflows, each once, on a draw that training never saw, and remembers the results by digest."""

    def __init__(self, env: WorkflowDesignEnv, seed: int) -> None:
        self.env = env
        self.seed = derive_seed("evaluate", seed) % 2**31
        """Seed and draw of the design episodes: the same for all designers."""
        self._draw = derive_seed("test", seed) % 2**31
        self.workflows: dict[str, dict[str, Any]] = {}

    def test(self, workflow: str) -> str:
        """Test a workflow unless it was tested before; returns its digest."""
        key = digest(workflow)
        if key not in self.workflows:
            evaluation = self.env.evaluate_test(workflow, self._draw)
            self.workflows[key] = {"source": workflow, **_scores(evaluation)}
        return key

    def again(self, workflow: str) -> float:
        """Measure a workflow on a fresh draw of the validation items."""
        return self.env.evaluate_workflow(workflow, self._draw).accuracy

    def search(self, found: tuple[str, float]) -> dict[str, Any]:
        """Measure the result of a search: once more on a fresh draw of the validation items, then on the test items."""
        workflow, accuracy = found
        fresh = self.env.evaluate_workflow(workflow, self._draw)
        usage = fresh.usage
        return {
            "workflow": self.test(workflow),
            "validation": accuracy,
            "validation_fresh": fresh.accuracy,
            "tokens_per_item": (usage.prompt_tokens + usage.completion_tokens) / len(fresh.items),
        }


def _scores(evaluation: Evaluation) -> dict[str, Any]:
    """Test results as plain data; the score of an item that could not be asked is None."""
    return {
        "accuracy": evaluation.accuracy,
        "items": [r.item_id for r in evaluation.items],
        "scores": [None if r.status == "infrastructure" else r.score for r in evaluation.items],
        "statuses": evaluation.statuses,
        "usage": asdict(evaluation.usage),
    }


def _design(
    env: WorkflowDesignEnv, policy: Policy, config: CompareConfig, tested: _Tested, report: Report
) -> dict[str, Any]:
    """Let the meta-agent design at the small budget, and along the curves over turns and candidates."""
    turns = max(config.design_turns, config.curve_turns)
    episodes = design_episodes(
        env,
        policy,
        seed=tested.seed,
        episodes=config.design_episodes,
        turns=turns,
        candidates=config.design_candidates,
    )
    result = []
    for number, episode in enumerate(episodes):
        report("testing", number / len(episodes))
        selected = {}
        for budget in range(1, turns + 1):
            best = episode.best(budget)
            # Nothing ran: what is left is the workflow the episode started from.
            workflow, accuracy = (best.workflow, best.accuracy) if best else _start(env, tested)
            selected[str(budget)] = {"workflow": tested.test(workflow), "validation": accuracy, "own": best is not None}
        result.append({"selected": selected, "proposals": _proposals(episode, tested)})
    # What one episode of the default budget costs.
    spent = sum((e.usage for e in _first_turns(episodes, config.design_turns)), Usage())
    start_workflow, start_accuracy = _start(env, tested)
    return {
        "episodes": result,
        "usage": asdict(spent),
        "start": {"workflow": tested.test(start_workflow), "validation": start_accuracy},
    }


def _start(env: WorkflowDesignEnv, tested: _Tested) -> tuple[str, float]:
    env.reset(seed=tested.seed)
    return env.state.workflow, env.state.accuracy


def _first_turns(episodes: list[DesignEpisode], turns: int) -> list[DesignEpisode]:
    return [DesignEpisode(episode.turns[:turns]) for episode in episodes]


def _proposals(episode: DesignEpisode, tested: _Tested) -> list[list[dict[str, Any]]]:
    """All candidates by turn; those of the first turn, single proposals of the start state, are measured further."""
    return [
        [_proposal(candidate, tested if turn == 0 else None) for candidate in candidates]
        for turn, candidates in enumerate(episode.turns)
    ]


def _proposal(candidate: Candidate, tested: _Tested | None) -> dict[str, Any]:
    if candidate.status != "evaluated" or tested is None:
        workflow, fresh = "", None
    else:
        workflow, fresh = tested.test(candidate.workflow), tested.again(candidate.workflow)
    return {
        "status": candidate.status,
        "accuracy": candidate.accuracy,
        "repairs": candidate.repairs,
        "error": candidate.error.kind if candidate.error else "",
        "workflow": workflow,
        "accuracy_fresh": fresh,
    }
