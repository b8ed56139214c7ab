"""Registers `W4S-<benchmark>-v0` for every known benchmark."""

from __future__ import annotations

import gymnasium as gym

from w4s_gym.benchmark import benchmark_names

ENTRY_POINT = "w4s_gym.env:WorkflowDesignEnv"
VECTOR_ENTRY_POINT = "w4s_gym.vector:VectorWorkflowDesignEnv"


def env_id(benchmark: str) -> str:
    """Return the environment id of a benchmark."""
    return f"W4S-{benchmark}-v0"


def register_environments() -> None:
    """Register an id for every benchmark that has none yet; call it after registering a benchmark of your own."""
    for name in benchmark_names():
        if env_id(name) not in gym.registry:
            gym.register(
                id=env_id(name),
                entry_point=ENTRY_POINT,
                vector_entry_point=VECTOR_ENTRY_POINT,
                kwargs={"benchmark": name},
            )
