"""Evaluation-time design: what a meta-agent makes of a small design budget, without learning from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w4s_gym.algos.policies.base import Policy, write_candidates
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.candidates import best_candidate
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.messages import Message
from w4s_gym.results import Candidate
from w4s_gym.usage import Usage


@dataclass(frozen=True)
class DesignEpisode:
    """One design episode of a policy."""

    turns: tuple[tuple[Candidate, ...], ...]
    """All candidates of each turn; the episode is shorter than asked when the executor could not be asked."""

    def best(self, turns: int | None = None) -> Candidate | None:
        """Return the candidate that validation selects among those of the first `turns` turns.

        Seed workflows do not compete: what counts is what the policy designed. Ties go to the earlier candidate.

        Returns:
            None when no candidate ran.
        """
        measured = [c for turn in self.turns[:turns] for c in turn if c.status == "evaluated"]
        return max(measured, key=lambda c: c.value or 0.0, default=None)

    @property
    def usage(self) -> Usage:
        """Executor usage of self-tests and validation, as if nothing had been measured before."""
        return sum((c.usage for turn in self.turns for c in turn), Usage())


def design_episodes(
    env: WorkflowDesignEnv, policy: Policy, *, seed: int, episodes: int, turns: int, candidates: int
) -> list[DesignEpisode]:
    """Let a policy design in several independent episodes that start from the same state.

    All episodes share one draw of the executor's randomness, so they differ by what the policy writes only. They
    advance in lockstep: the policy writes for all of them in one batch, and episodes that are in the same state are
    measured together.

    Args:
        env: the environment; its `max_turns` must be at least `turns`.
        policy: the meta-agent; nothing is learned.
        seed: fixes the episodes and the draw.
        episodes: number of episodes.
        turns: design turns of an episode.
        candidates: candidates a turn; the best by validation advances.
    """
    done: list[list[tuple[Candidate, ...]]] = [[] for _ in range(episodes)]
    paths: list[list[Candidate]] = [[] for _ in range(episodes)]
    for turn in range(turns):
        groups = _by_state(env, seed, paths)
        chats: dict[int, list[list[Message]]] = {}
        for group in groups:
            _replay(env, seed, paths[group[0]])
            chats |= zip(group, _conversations(env, len(group), candidates), strict=True)
        sampling_seed = derive_seed("design", seed, turn)
        written = write_candidates(policy, list(chats.values()), sampling_seed) if chats else []
        texts = {episode: [s.text for s in samples] for episode, samples in zip(chats, written, strict=True)}
        tried: dict[int, list[Candidate]] = {}
        for group in groups:
            # The first episode of the group stands for all: same chat, same state.
            _replay(env, seed, paths[group[0]])
            measured = env.evaluate_candidates(
                [text for episode in group for text in texts[episode]],
                chats=[chat for episode in group for chat in chats[episode]],
            )
            for place, episode in enumerate(group):
                tried[episode] = measured[place * candidates : (place + 1) * candidates]
        _repair_all(env, policy, seed, sampling_seed, paths, tried)
        for episode, own in tried.items():
            done[episode].append(tuple(own))
            paths[episode].append(own[best_candidate(own)])
    return [DesignEpisode(tuple(turns)) for turns in done]


def _repair_all(
    env: WorkflowDesignEnv,
    policy: Policy,
    seed: int,
    sampling_seed: int,
    paths: Sequence[Sequence[Candidate]],
    tried: dict[int, list[Candidate]],
) -> None:
    """Let the policy repair what failed its self-test, all episodes in one batch, until it runs or is skipped."""
    attempt = 0
    while True:
        waiting = [(e, i) for e, own in tried.items() for i, c in enumerate(own) if c.status == "needs_repair"]
        if not waiting:
            return
        attempt += 1
        chats = []
        for episode, i in waiting:
            _replay(env, seed, [*paths[episode], tried[episode][i]])
            chats.append(env.messages)
        repairs = policy.sample(chats, 1, derive_seed("repair", sampling_seed, attempt))
        for (episode, i), samples in zip(waiting, repairs, strict=True):
            _replay(env, seed, [*paths[episode], tried[episode][i]])
            tried[episode][i] = env.evaluate_candidates([samples[0].text])[0]


def _conversations(env: WorkflowDesignEnv, episodes: int, candidates: int) -> list[list[list[Message]]]:
    """Return those of every episode's candidates in one state; no two candidates are asked the same beside it."""
    plain, *asked = env.candidate_messages(1 + episodes * (candidates - 1))
    others = iter(asked)
    return [[plain, *(next(others) for _ in range(candidates - 1))] for _ in range(episodes)]


def _by_state(env: WorkflowDesignEnv, seed: int, paths: Sequence[Sequence[Candidate]]) -> list[list[int]]:
    """Group the episodes that go on by the chat they are in."""
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for episode, path in enumerate(paths):
        if any(candidate.status == "infrastructure" for candidate in path):
            continue
        _replay(env, seed, path)
        chat = tuple((message["role"], message["content"]) for message in env.messages)
        groups.setdefault(chat, []).append(episode)
    return list(groups.values())


def _replay(env: WorkflowDesignEnv, seed: int, path: Sequence[Candidate]) -> None:
    """Bring the environment into the state after `path`; everything on the way is already measured."""
    env.reset(seed=seed)
    for candidate in path:
        env.advance(candidate)
