"""Workflow design as an environment of OpenEnv: its types, the session on the server, and the client.

An action is one text, as in Gymnasium. A reward of None means that the executor kept the workflow from being measured:
leave the step out of training.
"""

from __future__ import annotations

import re
from typing import Any

from openenv.core import EnvClient
from openenv.core.client_types import StepResult
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, EnvironmentMetadata, Observation, State
from pydantic import Field

from w4s_gym import __version__
from w4s_gym.action import format_action
from w4s_gym.env import Transition, WorkflowDesignEnv
from w4s_gym.options import refuse_unknown

_DEFINES_SOLVER = re.compile(r"^(?:async\s+)?def\s+solver\b", re.MULTILINE)
LONGEST_STEP = 4 * 3600.0
"""Seconds that the client waits for an answer; what a step may take is the environment's to limit."""


class WorkflowAction(Action):
    """What the meta-agent writes."""

    text: str = Field(description="An analysis and a fenced Python block that defines solver(agent, task)")


class WorkflowObservation(Observation):
    """What the meta-agent reads next; `metadata` is the `info` of Gymnasium."""

    text: str = Field(description="The observation: task, current workflow, what it got wrong")
    messages: list[dict[str, str]] = Field(description="The same as chat messages")


class WorkflowState(State):
    """How far an episode is."""

    turn: int = Field(default=0, description="Actions that advanced the state")
    accuracy: float | None = Field(default=None, description="Of the current workflow on the validation items")
    best: float | None = Field(default=None, description="Best accuracy so far, seed workflows included")
    best_workflow: str = Field(default="", description="Source of the best workflow")
    simulated: bool = Field(default=False, description="Whether the executor is simulated")


class WorkflowSession(Environment[WorkflowAction, WorkflowObservation, WorkflowState]):
    """One session: an environment that shares executor, sandbox, cache, places in flight and ledger with the others."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, env: WorkflowDesignEnv) -> None:
        """Play episodes of an environment."""
        super().__init__()
        self._env = env
        self._state = WorkflowState()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **unknown: Any) -> WorkflowObservation:
        """Start an episode; see `WorkflowDesignEnv.reset`."""
        refuse_unknown(unknown, ("seed", "episode_id"), "reset")
        return self._begun(episode_id, *self._env.reset(seed=seed))

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **unknown: Any
    ) -> WorkflowObservation:
        """`reset`, awaited."""
        refuse_unknown(unknown, ("seed", "episode_id"), "reset")
        return self._begun(episode_id, *await self._env.areset(seed=seed))

    def step(self, action: WorkflowAction, timeout_s: float | None = None, **_: Any) -> WorkflowObservation:
        """Try an action; see `WorkflowDesignEnv.step`."""
        return self._done(self._env.step(_fenced(action.text)))

    async def step_async(self, action: WorkflowAction, timeout_s: float | None = None, **_: Any) -> WorkflowObservation:
        """`step`, awaited and cancellable."""
        return self._done(await self._env.astep(_fenced(action.text)))

    @property
    def state(self) -> WorkflowState:
        """How far the episode is."""
        return self._state

    def get_metadata(self) -> EnvironmentMetadata:
        """Describe the environment."""
        benchmark = self._env.benchmark
        return EnvironmentMetadata(
            name=f"w4s-gym {benchmark.name}",
            description=f"Design of workflows for a frozen executor, on {benchmark.name}: {benchmark.description}",
            version=__version__,
        )

    def close(self) -> None:
        """Drop what this session keeps; what it shares stays open."""
        self._env.close()

    def _begun(self, episode_id: str | None, text: str, info: dict[str, Any]) -> WorkflowObservation:
        self._state = WorkflowState(episode_id=episode_id, simulated=self._env.state.card.simulated)
        self._follow()
        return WorkflowObservation(text=text, messages=self._env.messages, metadata=info)

    def _done(self, transition: Transition) -> WorkflowObservation:
        text, reward, terminated, truncated, info = transition
        self._state.step_count += 1
        self._follow()
        lost = info["evaluation"]["status"] == "infrastructure"
        return WorkflowObservation(
            text=text,
            messages=self._env.messages,
            reward=None if lost else reward,
            done=terminated or truncated,
            metadata=info,
        )

    def _follow(self) -> None:
        state = self._env.state
        self._state.turn, self._state.accuracy = state.turn, state.accuracy
        self._state.best, self._state.best_workflow = state.best, state.best_workflow


def _fenced(text: str) -> str:
    """Give the fences back to a reply that is code alone; verifiers takes them off a reply that is one block."""
    bare = "```" not in text and "~~~" not in text and _DEFINES_SOLVER.search(text) is not None
    return format_action("", text) if bare else text


class WorkflowClient(EnvClient[WorkflowAction, WorkflowObservation, WorkflowState]):
    """Plays on a server that `w4s-gym serve` started.

    Use it with `async with`, or `WorkflowClient(url).sync()` with `with`; a client is a session. It waits for steps of
    hours, and outlasts pauses of minutes between them.
    """

    def __init__(self, base_url: str, **options: Any) -> None:
        """Prepare to connect; further options are those of `EnvClient`."""
        waits = {"message_timeout_s": LONGEST_STEP, "websocket_ping_timeout_s": 600.0}
        super().__init__(base_url, **{**waits, **options})

    def _step_payload(self, action: WorkflowAction) -> dict[str, Any]:
        return {"text": action.text}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[WorkflowObservation]:
        reward, done = payload.get("reward"), payload.get("done", False)
        observation = WorkflowObservation(**{**payload["observation"], "reward": reward, "done": done})
        return StepResult(observation=observation, reward=reward, done=done)

    def _parse_state(self, payload: dict[str, Any]) -> WorkflowState:
        return WorkflowState(**payload)
