"""Best-of-m rollouts: m candidates a turn, the best advances, every text the policy wrote becomes a row.

`BestOfM` is the base of the algorithms that learn from such rows; `Untrained` plays the same episodes only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from w4s_gym.algos import checkpoint
from w4s_gym.algos.base import Algorithm, Batch
from w4s_gym.algos.policies.base import Policy, write_candidates
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row
from w4s_gym.drawn_requests import without_requests
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError
from w4s_gym.messages import Message
from w4s_gym.normal_form import normal_form
from w4s_gym.options import from_fields
from w4s_gym.results import Candidate


@dataclass(frozen=True)
class BestOfMConfig:
    """What `Untrained` takes, and every algorithm that learns from best-of-m episodes."""

    candidates: int = 5
    """Candidates a turn, m (the paper's)."""
    episodes: int = 1
    """Episodes of one call of `collect`, and so behind one update (ours: learn as soon as there is something new)."""

    def __post_init__(self) -> None:
        """Reject numbers that cannot be used."""
        if self.candidates < 1 or self.episodes < 1:
            raise ConfigError(f"expected at least 1 candidate and 1 episode; got {self.candidates} and {self.episodes}")


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    iterations: int = 0
    """Calls of `collect` that are over."""
    updates: int = 0
    best_workflow: str = ""
    best_accuracy: float = -1.0
    best_cost: float = 0.0


class BestOfM(Algorithm):
    """Plays best-of-m episodes with a policy. Subclasses say how it learns from the rows."""

    config: BestOfMConfig

    def __init__(self, policy: Policy, config: BestOfMConfig | None = None, run: str = "") -> None:
        """Wrap a policy.

        Args:
            policy: the meta-agent.
            config: settings (default: those that suit the policy).
            run: `<algorithm>/<seed>`, kept in the rows and part of the random streams (default: seed 0).
        """
        self.policy = policy
        self.config = config or self.settings(policy)
        self.run = run or f"{self.name}/0"
        self.progress = Progress()

    @classmethod
    def settings(cls, policy: Policy) -> BestOfMConfig:
        """Return the settings that suit a policy."""
        return BestOfMConfig()

    @classmethod
    def of_options(cls, policy: Policy, options: Mapping[str, Any], run: str = "") -> Self:
        """Make it with the settings that suit the policy, some of them changed by name.

        Raises:
            ConfigError: there is no such setting, or its value cannot be used.
        """
        return cls(policy, from_fields(cls.settings(policy), dict(options), cls.name), run)

    def collect(self, env: WorkflowDesignEnv, seed: int) -> Batch:
        """Play `episodes` episodes; figures are means over them."""
        batches = []
        for i in range(self.config.episodes):
            number = self.progress.iterations * self.config.episodes + i
            episode_seed = seed if i == 0 else derive_seed("episode", seed, i) % 2**31
            batch = roll_out(
                env,
                self.policy,
                m=self.config.candidates,
                seed=episode_seed,
                run=self.run,
                episode=number,
            )
            before = self.progress
            if not before.best_workflow or batch.best_value > before.best_accuracy - before.best_cost:
                self.progress = replace(
                    self.progress,
                    best_workflow=batch.best_workflow,
                    best_accuracy=batch.best_accuracy,
                    best_cost=batch.best_cost,
                )
            batches.append(batch)
        self.progress = replace(self.progress, iterations=self.progress.iterations + 1)
        return Batch(
            [row for batch in batches for row in batch.rows],
            self.progress.best_workflow,
            self.progress.best_accuracy,
            {key: sum(b.metrics[key] for b in batches) / len(batches) for key in batches[0].metrics},
            self.progress.best_cost,
        )

    def save(self, folder: Path) -> None:
        """Write everything that `load` needs, as one: a process that is killed meanwhile leaves the state before."""
        with checkpoint.saving(folder) as scratch:
            self._write(scratch)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; the run goes on as if it had not stopped.

        Raises:
            ConfigError: the folder holds the state of another algorithm, or none.
        """
        checkpoint.settle(folder)
        self._read(folder)

    def _write(self, folder: Path) -> None:
        """Write the parts of the state: here how far the run is."""
        state = {"name": self.name, **self.progress.__dict__}
        (folder / "progress.json").write_text(json.dumps(state), encoding="utf-8")

    def _read(self, folder: Path) -> None:
        """Read what `_write` wrote."""
        file = folder / "progress.json"
        if not file.exists():
            raise ConfigError(f"expected the saved state of {self.name}; there is no file {file}")
        state = json.loads(file.read_text(encoding="utf-8"))
        if state.pop("name") != self.name:
            raise ConfigError(f"expected the saved state of {self.name}; {file} is of another algorithm")
        self.progress = Progress(**state)


class Untrained(BestOfM):
    """The meta-agent as it is, in the same loop as the trained ones."""

    name = "untrained"

    def update(self, batch: Batch) -> dict[str, float]:
        """Nothing is learned."""
        return {}


def roll_out(
    env: WorkflowDesignEnv,
    policy: Policy,
    *,
    m: int,
    seed: int,
    run: str,
    episode: int,
) -> Batch:
    """Play one episode, with `m` candidates a turn.

    A candidate that fails its self-test is repaired by the policy itself. Each attempt is a row of its own: the one
    that was measured earns the candidate's reward, one that failed earns that of a failure. Rows hold the conversation
    without what a candidate was asked beside it (`drawn_requests`).

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
        self-test), `candidates`, `masked` (could not be measured), `copies` (texts sent back as copies of a workflow
        that the state shows, where the environment does that), `distinct` (different workflows among those measured,
        apart from layout, comments and docstrings) and `new_best` (candidates that beat all before their turn).
    """
    env.reset(seed=seed)
    rows: list[Row] = []
    tried: list[Candidate] = []
    over = False
    while not over:
        turn = env.state.turn
        writer = _Writer(policy, derive_seed("rollout", seed, turn))
        actions = writer.propose(env.candidate_messages(m))
        candidates, chosen, (_, _, terminated, truncated, _) = env.step_best_of(actions, writer.repair)
        over = terminated or truncated
        tried += candidates
        for number, candidate in enumerate(candidates):
            rows += _rows(env, candidate, writer, number == chosen, run, (episode, turn, number))
    return Batch(rows, env.state.best_workflow, env.state.best, _figures(tried), env.state.best_cost)


class _Writer:
    """Asks the policy for texts and remembers which of them hit the token limit."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self._policy = policy
        self._seed = seed
        self._calls = 0
        self.truncated: set[str] = set()

    def propose(self, chats: Sequence[Sequence[Message]]) -> list[str]:
        """Return one text for each candidate's conversation."""
        return self._write([chats])

    def repair(self, conversations: list[list[Message]]) -> list[str]:
        """Return one text for each conversation that ends with a repair request."""
        return self._write([[conversation] for conversation in conversations])

    def _write(self, states: Sequence[Sequence[Sequence[Message]]]) -> list[str]:
        groups = write_candidates(self._policy, states, derive_seed(self._seed, self._calls))
        self._calls += 1
        samples = [sample for group in groups for sample in group]
        self.truncated |= {s.text for s in samples if s.truncated}
        return [s.text for s in samples]


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
            messages=tuple(without_requests(messages)),
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
            new_best=candidate.new_best and i == last,
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
        "copies": float(sum(c.copies for c in candidates)),
        "distinct": float(len({normal_form(c.workflow) for c in measured if c.status == "evaluated"})),
        "new_best": float(sum(c.new_best for c in measured)),
    }
