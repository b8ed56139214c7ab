"""One cell of a comparison: one designer with one seed, from training to the test.

A cell is a pure function of the configuration, the designer and the seed (and, for CoT-SC, of another designer's
result). Its result is plain JSON data; wall-clock times stand apart from the rest.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
from _config import CompareConfig
from _designers import Setup, find_designer
from _schedule import Report

import w4s_gym  # noqa: F401  (registers the environments)
from w4s_gym.algos.base import Algorithm
from w4s_gym.algos.design import DesignEpisode, design_episodes
from w4s_gym.algos.policy import Policy
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import write_rows
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.executors.base import Usage
from w4s_gym.measure import digest
from w4s_gym.results import Candidate, Evaluation


def make_environment(config: CompareConfig, prompt_style: str, max_turns: int) -> WorkflowDesignEnv:
    """Make the environment of a comparison.

    Raises:
        ConfigError: an option cannot be used.
    """
    options = {**config.environment_options(), "prompt_style": prompt_style, "max_turns": max_turns}
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
        `curve`, `training` (usage), `search` (best workflow of the run), `design` (episodes at the design budget, for
        meta-agents), `workflows` (what was tested, by digest) and `seconds` (wall clock).
    """
    designer = find_designer(algo)
    seconds = {"start": time.monotonic()}
    report("loading", 0.0)
    policy = load_policy(config.policy) if designer.needs_policy else None
    style = policy.prompt_style if policy is not None else "compact"
    run = f"{algo}/{seed}"
    setup = Setup(policy, config.candidates, run, seed, tokens_per_item, config.options_of(algo))
    algorithm = designer.make(setup)
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "rows.jsonl"
    rows.unlink(missing_ok=True)  # an earlier attempt at this cell was interrupted

    env = make_environment(config, style, config.turns)
    try:
        seconds["ready"] = time.monotonic()
        search, curve, learning = _search(env, algorithm, config, seed, rows, report)
        training = asdict(env.ledger.usage)
    finally:
        env.close()
    seconds["searched"] = time.monotonic()
    algorithm.save(folder / "state")

    env = make_environment(config, style, max(config.design_turns, config.curve_turns))
    try:
        measured = _Tested(env, seed)
        result: dict[str, Any] = {"curve": curve, "training": training, "search": measured.search(search)}
        if designer.meta_agent:
            assert policy is not None
            report("designing", 0.0)
            result["design"] = _design(env, policy, config, measured, report)
        result["workflows"] = measured.workflows
    finally:
        env.close()
    end = time.monotonic()
    result["seconds"] = {
        "search": seconds["searched"] - seconds["ready"],
        "learning": learning,
        "evaluation": end - seconds["searched"],
        "all": end - seconds["start"],
    }
    return result


def load_policy(spec: str) -> Policy:
    """Make the meta-agent; its arithmetic is done by one thread, so that results do not depend on the machine's load.

    Raises:
        ConfigError: there is no such policy.
    """
    from w4s_gym.algos import make_policy

    if not spec.startswith("openai:"):
        import torch

        torch.set_num_threads(1)
    return make_policy(spec)


def _search(
    env: WorkflowDesignEnv, algorithm: Algorithm, config: CompareConfig, seed: int, rows: Path, report: Report
) -> tuple[tuple[str, float], list[dict[str, Any]], float]:
    """Collect and update until the budget is spent.

    The run ends at the iteration boundary that is nearest to the budget, so that no measurement is cut in half and the
    numbers do not depend on which call came first.

    Returns:
        Best workflow by validation with its accuracy, the learning curve, seconds of learning.
    """
    curve: list[dict[str, Any]] = []
    best = ("", -1.0)
    learning = 0.0
    while not algorithm.finished:
        calls = env.ledger.usage.calls
        typical = calls / len(curve) if curve else 0.0
        if curve and calls + typical / 2 >= config.budget:
            break
        report("searching", min(1.0, calls / config.budget))
        batch = algorithm.collect(env, derive_seed("collect", seed, len(curve)) % 2**31)
        write_rows(rows, batch.rows)
        if batch.best_accuracy > best[1]:
            best = (batch.best_workflow, batch.best_accuracy)
        start = time.monotonic()
        learned = algorithm.update(batch)
        learning += time.monotonic() - start
        curve.append({"calls": env.ledger.usage.calls, "best": best[1], **batch.metrics, **learned})
    return best, curve, learning


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
