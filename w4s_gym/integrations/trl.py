"""Workflow design for trl's `GRPOTrainer`: as an environment with a tool, and as a rollout function of text actions.

Neither imports trl.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import gymnasium as gym

from w4s_gym.action import format_action
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError
from w4s_gym.messages import Message

_MARK = "\N{SECTION SIGN}reply\N{SECTION SIGN}"
Rollout = Callable[[list[Any], Any], dict[str, Any]]


def seed_prompts(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Return rows of a training data set: row i stands for the episode with the seed `first + i`.

    `prompt` is what trl groups by; the messages that the model reads come from the environment. `seed` reaches
    `WorkflowDesignTool.reset`.
    """
    return [
        {"prompt": [{"role": "user", "content": f"seed {seed}"}], "seed": seed} for seed in range(first, first + count)
    ]


class WorkflowDesignTool:
    """An episode for `GRPOTrainer(environment_factory=...)`: a tool that measures workflows, and the best reward."""

    def __init__(self, env: WorkflowDesignEnv) -> None:
        """Play episodes of an environment; see `environment_factory`."""
        self._env = env
        self._rewards: list[float] = []
        self._over = False

    def reset(self, seed: int | None = None, **row: Any) -> str:
        """Start the episode of a row of the data set; the observation goes behind its prompt."""
        observation, _ = self._env.reset(seed=seed)
        self._rewards, self._over = [], False
        return observation

    async def submit_workflow(self, analysis: str, code: str) -> str:
        """Measure a workflow on the validation items.

        Args:
            analysis: What to change about the current workflow, and why.
            code: Complete Python code that defines `solver(agent, task)`.

        Returns:
            What it reached and where it fails, or a request to repair it.
        """
        if self._over:
            return "The episode is over."
        observation, _, terminated, truncated, info = await self._env.astep(format_action(analysis, code))
        if not truncated and not info["state"]["needs_repair"]:
            self._rewards.append(info["evaluation"]["reward"])
        self._over = terminated or truncated
        return str(self._env.messages[-1]["content"]) if not self._over else observation

    def get_reward(self) -> float | None:
        """Return the best reward of the episode; None if the executor kept all workflows from being measured."""
        if self._rewards:
            return max(self._rewards)
        return None if self._over else self._env.reward_rule.failure


def environment_factory(env_id: str, **options: Any) -> Callable[[], WorkflowDesignTool]:
    """Make what `GRPOTrainer(environment_factory=...)` calls for each rollout it holds side by side.

    All share executor, sandbox, cache, ledger and budget.

    Args:
        env_id: as for `gym.make`.
        **options: those of the environment.
    """
    host = _make(env_id, options)
    return lambda: WorkflowDesignTool(host.sibling())


def rollout_func(env_id: str, **options: Any) -> Rollout:
    """Make a function for `GRPOTrainer(rollout_func=...)`: one turn of design, with its repair turns, as text.

    All rollouts of a group answer the first state of the episode of their seed (see `seed_prompts`), and they are
    measured in flight together. A workflow that fails its self-test is repaired in the same rollout; what the
    environment says there is masked out of training, and so is what a candidate was asked beside the state's
    conversation (`drawn_requests`): the prompt that is trained on goes without it.

    Args:
        env_id: as for `gym.make`.
        **options: those of the environment.

    Returns:
        The function. What a rollout earned reaches the trainer through `reward_funcs=earned_reward`.
    """
    host = _make(env_id, options)

    def rollout(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        seeds = [_seed_of(prompt) for prompt in prompts]
        out: dict[str, list[Any]] = {
            key: [None] * len(prompts) for key in ("prompt_ids", "completion_ids", "logprobs", "env_mask", "earned")
        }
        for seed in dict.fromkeys(seeds):
            places = [i for i, other in enumerate(seeds) if other == seed]
            host.reset(seed=seed)
            texts = [_Text(trainer.processing_class, chat) for chat in host.candidate_messages(len(places))]
            plain = texts[0].prompt  # the first candidate is asked nothing beside the state's conversation

            def repair(chats: list[list[Message]], texts: list[_Text] = texts) -> Sequence[str]:
                return _write(trainer, [_asked(texts, chat) for chat in chats])

            candidates = host.evaluate_candidates(_write(trainer, texts), repair)
            for place, text, candidate in zip(places, texts, candidates, strict=True):
                out["prompt_ids"][place] = plain
                out["completion_ids"][place] = text.completion
                out["logprobs"][place] = text.logprobs if text.prompt == plain else None
                out["env_mask"][place] = text.mask
                out["earned"][place] = candidate.reward
        measured = all(logprobs is not None for logprobs in out["logprobs"])
        return {**out, "logprobs": out["logprobs"] if measured else None}

    return rollout


def earned_reward(completions: list[Any], earned: list[float | None], **_: Any) -> list[float | None]:
    """Reward function for `rollout_func`: what each rollout earned; None, which trl leaves out, if it has no reward."""
    return earned


class _Text:
    """One rollout as tokens: the model's own, and those that the environment adds before a repair."""

    def __init__(self, tokenizer: Any, chat: list[Message]) -> None:
        self._tokenizer = tokenizer
        self.chat = chat
        self.prompt = self._tokens(self._render(chat))
        self.completion: list[int] = []
        self.mask: list[int] = []
        self.logprobs: list[float] | None = []

    def written(self, tokens: list[int], logprobs: list[float] | None) -> str:
        """Go on with what the model wrote; returns its text."""
        self._add(tokens, 1, logprobs)
        text = str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        self.chat = [*self.chat, {"role": "assistant", "content": text}]
        return text

    def ask(self, request: Message) -> None:
        """Go on with a request of the environment, up to where the model starts to write."""
        # What the template puts between a reply and the next one; the reply itself keeps the tokens it was written in.
        rendered = self._render([*self.chat[:-1], {"role": "assistant", "content": _MARK}, request])
        tokens = self._tokens(rendered.rpartition(_MARK)[2])
        if self.completion and tokens[:1] == self.completion[-1:]:
            tokens = tokens[1:]  # the model ended its turn itself
        self._add(tokens, 0, [0.0] * len(tokens))
        self.chat = [*self.chat, request]

    def _add(self, tokens: list[int], own: int, logprobs: list[float] | None) -> None:
        self.completion += tokens
        self.mask += [own] * len(tokens)
        self.logprobs = None if self.logprobs is None or logprobs is None else [*self.logprobs, *logprobs]

    def _render(self, chat: list[Message]) -> str:
        return str(self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))

    def _tokens(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _write(trainer: Any, texts: Sequence[_Text]) -> list[str]:
    """Let the trainer's model, or its vLLM server, go on with rollouts."""
    tokens, logprobs = trainer._generate_single_turn([t.prompt + t.completion for t in texts], None, {}, 1)
    each = logprobs or [None] * len(texts)
    return [text.written(list(ids), own) for text, ids, own in zip(texts, tokens, each, strict=True)]


def _asked(texts: Sequence[_Text], chat: list[Message]) -> _Text:
    """Find the rollout that a chat with a repair request goes on with, and add the request."""
    text = next(text for text in texts if text.chat == chat[:-1])
    text.ask(chat[-1])
    return text


def _seed_of(prompt: Any) -> int:
    content = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    found = re.fullmatch(r"seed (\d+)", content)
    if found is None:
        raise ConfigError(f"expected prompts of seed_prompts(...), such as 'seed 3'; got {content!r:.80}")
    return int(found[1])


def _make(env_id: str, options: dict[str, Any]) -> WorkflowDesignEnv:
    return cast(WorkflowDesignEnv, gym.make(env_id, disable_env_checker=True, **options).unwrapped)
