"""Makes environments and meta-agents of a study, and what the parts of a running cell share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import gymnasium as gym

import w4s_gym  # noqa: F401  (registers the environments)
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.registration import find_env
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.meter import Meter
from w4s_gym.study.notices import Teller


@dataclass(frozen=True)
class Workspace:
    """What the parts of a running cell share."""

    config: CompareConfig
    seed: int
    folder: Path
    """Gets the trajectories and the algorithm's final state."""
    replies: Path
    """Gets the replies of an executor that costs something, of all cells of the run."""
    teller: Teller
    evaluations: str = "evaluations.jsonl"
    """File in `folder` that gets the result of every item of every evaluation."""
    meter: Meter = field(default_factory=Meter)
    """Counts what the meta-agent writes."""

    def tell(self, what: str, share: float, point: Mapping[str, float] | None = None) -> None:
        """Say what is being done; see `Teller`."""
        self.teller.tell(what, share, point)

    def on(self, env: str) -> Workspace:
        """The same on another benchmark."""
        name = "".join(letter if letter.isalnum() else "-" for letter in env)
        return replace(self, config=replace(self.config, env=env), evaluations=f"evaluations-{name}.jsonl")

    def environment(
        self, policy: Policy | None, max_turns: int, share: float, *, racing: bool = False
    ) -> WorkflowDesignEnv:
        """Make an environment whose prompts suit the meta-agent; see `make_environment`."""
        style = policy.prompt_style if policy else "compact"
        self.folder.mkdir(parents=True, exist_ok=True)
        draw = {"draw": derive_seed("draw", self.seed) % 2**31} if self.config.one_draw else {}
        given = {"journal": str(self.folder / self.evaluations), **draw, **self.config.env_options}
        config = replace(self.config, env_options=given)
        env = make_environment(config, style, max_turns, share=share, racing=racing, replies=self.replies)
        self.teller.ledgers.append(env.ledger)
        return env


def make_environment(
    config: CompareConfig,
    prompt_style: str,
    max_turns: int,
    *,
    share: float = 1.0,
    racing: bool = False,
    replies: Path | None = None,
) -> WorkflowDesignEnv:
    """Make the environment of a comparison.

    Args:
        config: the comparison.
        prompt_style: of the meta-agent.
        max_turns: length of an episode.
        share: share of a cell's dollars that it may spend, if there is a limit.
        racing: end the validation of candidates that can hardly earn a reward, by the rule in `env_options` or the
            default one.
        replies: folder that keeps the replies of an executor that costs money or time: what one cell has asked the
            others need not pay, nor a cell that is computed again after an interruption.

    Raises:
        ConfigError: an option cannot be used.
    """
    kept = None if config.asks_nobody else replies
    options = {**config.environment_options(share, kept), "prompt_style": prompt_style, "max_turns": max_turns}
    options.setdefault("remember", True)  # designers with one seed start from the same states
    options["racing"] = options.get("racing", {}) if racing else None
    env = gym.make(find_env(config.env), disable_env_checker=True, **options).unwrapped
    assert isinstance(env, WorkflowDesignEnv)
    return env


def load_policy(config: CompareConfig) -> Policy:
    """Make the meta-agent.

    Its arithmetic is done by one thread, so that results do not depend on the machine's load, and its libraries draw no
    bars of their own (of loading and writing weights) into what is shown of the study.

    Raises:
        ConfigError: there is no such policy.
    """
    from w4s_gym.algos import make_policy

    scheme = config.policy.partition(":")[0]
    if scheme not in ("openai", "local") and find_spec("torch") and find_spec("transformers"):
        import torch
        from transformers.utils import logging

        torch.set_num_threads(1)
        logging.disable_progress_bar()
    return make_policy(config.policy, **config.options_of_policy())
