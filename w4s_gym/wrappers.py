"""Wrappers for users' own loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from gymnasium.utils import RecordConstructorArgs

from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.messages import Message


class FoldRepairs(gym.Wrapper[str, str, str, str], RecordConstructorArgs):
    """Makes one step of an action and its repairs: the repair requests go to a function.

    Example:
        >>> import gymnasium as gym, w4s_gym
        >>> from w4s_gym.wrappers import FoldRepairs
        >>> env = gym.make("W4S-GSMSymbolic-v0", validation_size=4, test_size=4)
        >>> env = FoldRepairs(env, repair=lambda messages: env.action_space.sample())  # where a policy repairs
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step("no code")
        >>> info["evaluation"]["repairs"], info["state"]["turn"]
        (1, 1)
        >>> env.close()
    """

    def __init__(self, env: gym.Env[str, str], repair: Callable[[list[Message]], str]) -> None:
        """Wrap `env`; `repair` is given the chat that ends with a repair request and returns the next action."""
        RecordConstructorArgs.__init__(self, repair=repair)
        gym.Wrapper.__init__(self, env)
        self._repair = repair

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Step until the action is measured or skipped."""
        base = self.env.unwrapped
        assert isinstance(base, WorkflowDesignEnv)
        transition = self.env.step(action)
        while base.state.repair is not None:
            transition = self.env.step(self._repair(base.messages))
        observation, reward, terminated, truncated, info = transition
        return observation, float(reward), terminated, truncated, info
