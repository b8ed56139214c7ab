"""Best-of-m rollouts: m candidates a turn, the best advances, every text the policy wrote becomes a row."""

from __future__ import annotations

from collections.abc import Sequence

from w4s_gym.algos.base import Batch
from w4s_gym.algos.policy import Message, Policy
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.results import Candidate


def roll_out(env: WorkflowDesignEnv, policy: Policy, *, m: int, seed: int, run: str, episode: int) -> Batch:
    """Play one episode, with `m` candidates a turn.

    A candidate that fails its self-test is repaired by the policy itself. Each attempt is a row of its own: the one
    that was measured earns the candidate's reward, one that failed earns that of a failure.

    Args:
        env: the environment; it is reset.
        policy: writes the actions and the repairs.
        m: candidates a turn.
        seed: fixes the episode and all samples.
        run: `<algorithm>/<seed>`, kept in the rows.
        episode: number of the episode, kept in the rows.

    Returns:
        The rows; the best workflow of this episode; `reward` and `accuracy` (means over candidates; a skipped one
        counts 0, one that could not be measured is left out), `runnable` (share of first attempts that passed the
        self-test), `candidates` and `masked` (could not be measured).
    """
    env.reset(seed=seed)
    rows: list[Row] = []
    tried: list[Candidate] = []
    over = False
    while not over:
        turn = env.state.turn
        writer = _Writer(policy, derive_seed("rollout", seed, turn))
        actions = writer.write([env.messages], m)
        candidates, chosen, (_, _, terminated, truncated, _) = env.step_best_of(actions, writer.repair)
        over = terminated or truncated
        tried += candidates
        for number, candidate in enumerate(candidates):
            rows += _rows(env, candidate, writer, number == chosen, run, (episode, turn, number))
    return Batch(rows, env.state.best_workflow, env.state.best, _figures(tried))


class _Writer:
    """Asks the policy for texts and remembers which of them hit the token limit."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self._policy = policy
        self._seed = seed
        self._calls = 0
        self.truncated: set[str] = set()

    def write(self, conversations: Sequence[Sequence[Message]], m: int) -> list[str]:
        """Return `m` texts for each conversation, one conversation after the other."""
        seed = derive_seed(self._seed, self._calls)
        self._calls += 1
        samples = [s for group in self._policy.sample(conversations, m, seed) for s in group]
        self.truncated |= {s.text for s in samples if s.truncated}
        return [s.text for s in samples]

    def repair(self, conversations: list[list[Message]]) -> list[str]:
        """Return one text for each conversation that ends with a repair request."""
        return self.write(conversations, 1)


def _rows(
    env: WorkflowDesignEnv,
    candidate: Candidate,
    writer: _Writer,
    chosen: bool,
    run: str,
    place: tuple[int, int, int],
) -> list[Row]:
    last = len(candidate.attempts) - 1
    episode, turn, number = place
    return [
        Row(
            messages=tuple(dict(message) for message in messages),
            action=action,
            reward=candidate.reward if i == last else env.reward_rule.failure,
            accuracy=candidate.accuracy if i == last else None,
            kind="repair" if i else "design",
            status=candidate.status,
            chosen=chosen and i == last,
            benchmark=env.state.card.benchmark,
            run=run,
            episode=episode,
            turn=turn,
            candidate=number,
            simulated=env.state.card.simulated,
            reward_kind=env.reward_rule.kind,
            truncated=action in writer.truncated,
        )
        for i, (messages, action) in enumerate(candidate.attempts)
    ]


def _figures(candidates: Sequence[Candidate]) -> dict[str, float]:
    measured = [c for c in candidates if c.status != "infrastructure"]
    count = max(1, len(measured))
    return {
        "reward": sum(c.reward or 0.0 for c in measured) / count,
        "accuracy": sum(c.accuracy or 0.0 for c in measured) / count,
        "runnable": sum(c.status == "evaluated" and c.repairs == 0 for c in measured) / count,
        "candidates": float(len(candidates)),
        "masked": float(len(candidates) - len(measured)),
    }
