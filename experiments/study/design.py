"""Design episodes of a meta-agent at the small budget, tested along the curves over turns and candidates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from w4s_gym.algos.design import DesignEpisode, design_episodes
from w4s_gym.algos.policies.base import Policy
from w4s_gym.results import Candidate
from w4s_gym.study.environment import Workspace
from w4s_gym.study.final_test import FinalTest
from w4s_gym.study.training import SEARCHED, Found
from w4s_gym.usage import Usage

DESIGNED = 0.85
"""Share of a cell that is over when the design episodes are, as it is shown."""


def longest(space: Workspace) -> int:
    """Turns of the longest design budget that is measured."""
    return max(space.config.design_turns, space.config.curve_turns)


def design(space: Workspace, policy: Policy, final: FinalTest) -> dict[str, Any]:
    """Let the meta-agent design, and test what validation selects within each number of turns.

    Returns:
        `episodes` (selected workflows and proposals), `usage` and `start`, as plain data.
    """
    space.tell(f"designing for {space.config.env}", SEARCHED)
    episodes = design_episodes(
        final.env,
        policy,
        seed=final.seed,
        episodes=space.config.design_episodes,
        turns=longest(space),
        candidates=space.config.design_candidates,
    )
    result = []
    for number, episode in enumerate(episodes):
        space.tell("testing", DESIGNED + (1 - DESIGNED) * number / len(episodes))
        selected = {str(turns): _selected(episode, turns, final) for turns in range(1, longest(space) + 1)}
        result.append({"selected": selected, "proposals": _proposals(episode, final)})
    # What one episode of the default budget costs.
    spent = sum((DesignEpisode(e.turns[: space.config.design_turns]).usage for e in episodes), Usage())
    start = _start(final)
    return {
        "episodes": result,
        "usage": asdict(spent),
        "memorising": asdict(final.env.memorising),
        "start": {"workflow": final.test(start.workflow), "validation": start.accuracy},
    }


def _selected(episode: DesignEpisode, turns: int, final: FinalTest) -> dict[str, Any]:
    best = episode.best(turns)
    # Nothing ran: what is left is the workflow the episode started from.
    chosen = Found(best.workflow, best.accuracy or 0.0) if best else _start(final)
    return {"workflow": final.test(chosen.workflow), "validation": chosen.accuracy, "own": best is not None}


def _start(final: FinalTest) -> Found:
    final.env.reset(seed=final.seed)
    return Found(final.env.state.workflow, final.env.state.accuracy)


def _proposals(episode: DesignEpisode, final: FinalTest) -> list[list[dict[str, Any]]]:
    """All candidates by turn; those of the first turn, single proposals of the start state, are measured further."""
    return [
        [_proposal(candidate, final if turn == 0 else None) for candidate in candidates]
        for turn, candidates in enumerate(episode.turns)
    ]


def _proposal(candidate: Candidate, final: FinalTest | None) -> dict[str, Any]:
    if candidate.status != "evaluated" or final is None:
        workflow, fresh = "", None
    else:
        workflow, fresh = final.test(candidate.workflow), final.again(candidate.workflow)
    return {
        "status": candidate.status,
        "accuracy": candidate.accuracy,
        "repairs": candidate.repairs,
        "error": candidate.error.kind if candidate.error else "",
        "workflow": workflow,
        "accuracy_fresh": fresh,
    }
