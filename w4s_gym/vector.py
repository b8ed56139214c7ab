"""Many environments as one: they share what they work with, and a step puts all their items in flight together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from w4s_gym._loop import in_thread, on_shared_loop, run_sync
from w4s_gym.env import Transition, WorkflowDesignEnv
from w4s_gym.errors import ConfigError, ProtocolError
from w4s_gym.executors import Executor
from w4s_gym.ledger import Ledger

T = TypeVar("T")
Observations = tuple[str, ...]
Steps = tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class VectorWorkflowDesignEnv(SyncVectorEnv):
    """What `gym.make_vec` makes: the observations, rewards and infos of a loop over single environments, sooner.

    The environments share executor, cache, sandbox, places in flight, journal, ledger and budget. `areset` and `astep`
    can be awaited on any event loop and cancelled.

    Example:
        >>> import gymnasium as gym, w4s_gym
        >>> envs = gym.make_vec("W4S-GSMSymbolic-v0", num_envs=3, validation_size=8, test_size=8)
        >>> observations, infos = envs.reset(seed=[1, 2, 3])
        >>> observations, rewards, terminations, truncations, infos = envs.step(envs.action_space.sample())
        >>> len(observations), rewards.shape, infos["state"]["turn"].tolist()
        (3, (3,), [1, 1, 1])
        >>> envs.close()
    """

    envs: list[WorkflowDesignEnv]  # type: ignore[assignment]  # a list of a subclass

    def __init__(
        self,
        benchmark: str,
        executor: str | Executor | None = None,
        *,
        num_envs: int = 1,
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        """Make the environments; nothing is opened.

        Args:
            benchmark: as for `WorkflowDesignEnv`.
            executor: as for `WorkflowDesignEnv`.
            num_envs: how many.
            autoreset_mode: Gymnasium's: `NextStep` (the step after an episode's end only resets it), `SameStep` (the
                last observation and info are in `infos["final_obs"]` and `infos["final_info"]`) or `Disabled` (reset
                with `options={"reset_mask": mask}`, which measures nothing twice).
            render_mode: as for `WorkflowDesignEnv`.
            **options: as for `WorkflowDesignEnv`; `budget` caps all environments together.

        Raises:
            ConfigError: an option cannot be used.
        """
        if num_envs < 1:
            raise ConfigError(f"expected num_envs to be at least 1; got {num_envs}")
        try:
            mode = AutoresetMode(autoreset_mode)
        except ValueError:
            modes = [mode.value for mode in AutoresetMode]
            raise ConfigError(f"expected autoreset_mode to be one of {modes}; got {autoreset_mode!r}") from None
        host = WorkflowDesignEnv(benchmark, executor, render_mode=render_mode, **options)
        super().__init__([lambda: host, *[host.sibling] * (num_envs - 1)], autoreset_mode=mode)
        self._ended = np.zeros(num_envs, dtype=np.bool_)
        self._texts = [""] * num_envs

    @property
    def ledger(self) -> Ledger:
        """What everything these environments ran has cost."""
        return self.envs[0].ledger

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Reset all environments together.

        Args:
            seed: one for each environment, or a number: environment i gets `seed + i`.
            options: `{"reset_mask": mask}` resets only the environments where the boolean array is true.

        Raises:
            ConfigError: seeds or options do not fit.
            ExecutorUnavailable: seed workflows of an environment could not be measured.
        """
        return run_sync(self._reset(seed, options))

    async def areset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """`reset`, awaited."""
        return await on_shared_loop(self._reset(seed, options))

    def step(self, actions: Sequence[str]) -> Steps:
        """Step all environments together; those that wait for their autoreset are reset.

        Args:
            actions: one text for each environment.

        Raises:
            ProtocolError: not one text for each environment, or an episode is over and autoreset is disabled; no
                environment was stepped then.
        """
        return run_sync(self._step(actions))

    async def astep(self, actions: Sequence[str]) -> Steps:
        """`step`, awaited."""
        return await on_shared_loop(self._step(actions))

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environments, the first of them, which owns what they share, last."""
        for env in reversed(self.envs):
            env.close()

    async def _reset(
        self, seed: int | Sequence[int | None] | None, options: dict[str, Any] | None
    ) -> tuple[Observations, dict[str, Any]]:
        seeds = _seeds(seed, self.num_envs)
        if len(seeds) != self.num_envs:
            raise ConfigError(f"expected a seed for each of {self.num_envs} environments; got {len(seeds)}")
        others = dict(options or {})
        mask = _checked_mask(others.pop("reset_mask", None), self.num_envs)
        chosen = [i for i in range(self.num_envs) if mask[i]]
        await in_thread(self.envs[0]._open)  # once for all
        resets = await _all([self.envs[i].areset(seed=seeds[i], options=others) for i in chosen])
        infos: dict[str, Any] = {}
        for i, (observation, info) in zip(chosen, resets, strict=True):
            self._texts[i] = observation
            self._ended[i] = False
            infos = self._add_info(infos, info, i)
        return tuple(self._texts), infos

    async def _step(self, actions: Sequence[str]) -> Steps:
        if isinstance(actions, str) or len(actions) != self.num_envs or any(not isinstance(a, str) for a in actions):
            raise ProtocolError(
                f"expected {self.num_envs} texts, one action for each environment; got {actions!r:.200}"
            )
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            over = np.flatnonzero(self._ended).tolist()
            raise ProtocolError(
                f"the episodes of the environments {over} are over; call reset(options={{'reset_mask': mask}}) first"
            )
        done = await _all([self._one(i, action) for i, action in enumerate(actions)])
        infos: dict[str, Any] = {}
        for i, ((observation, _, _, _, info), final) in enumerate(done):
            self._texts[i] = observation
            if final is not None:
                infos = self._add_info(infos, final, i)
            infos = self._add_info(infos, info, i)
        _, rewards, terminations, truncations, _ = zip(*(transition for transition, _ in done), strict=True)
        terminated, truncated = np.array(terminations, dtype=np.bool_), np.array(truncations, dtype=np.bool_)
        self._ended = terminated | truncated
        return tuple(self._texts), np.array(rewards, dtype=np.float64), terminated, truncated, infos

    async def _one(self, index: int, action: str) -> tuple[Transition, dict[str, Any] | None]:
        """Step one environment, or reset it where its episode is over; also return how its episode ended."""
        env = self.envs[index]
        if self.autoreset_mode is AutoresetMode.NEXT_STEP and self._ended[index]:
            observation, info = await env.areset()
            return (observation, 0.0, False, False, info), None
        transition = await env.astep(action)
        observation, reward, terminated, truncated, info = transition
        if self.autoreset_mode is not AutoresetMode.SAME_STEP or not (terminated or truncated):
            return transition, None
        final = {"final_obs": observation, "final_info": info}
        observation, info = await env.areset()
        return (observation, reward, terminated, truncated, info), final


async def _all(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; if some fail, the others come to their end before the first error is raised."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)]


def _seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    if seed is None:
        return [None] * count
    return [int(seed) + i for i in range(count)] if isinstance(seed, int | np.integer) else list(seed)


def _checked_mask(mask: Any, count: int) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(count, dtype=np.bool_)
    if not isinstance(mask, np.ndarray) or mask.shape != (count,) or mask.dtype != np.bool_ or not mask.any():
        raise ConfigError(f"reset_mask: expected a boolean array of shape ({count},), not all false; got {mask!r:.80}")
    return mask
