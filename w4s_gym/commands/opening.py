"""What several commands open: a workflow file, an environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

from w4s_gym._loop import run_sync
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError
from w4s_gym.registration import find_env


def read_workflow(path: Path) -> str:
    """Return the text of a workflow file.

    Raises:
        ConfigError: there is no such file, or it is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected a workflow, a Python file that defines solver, at {path}; {error}") from error


def open_environment(env: str, executor: str, options: Mapping[str, Any]) -> WorkflowDesignEnv:
    """Make an environment.

    Args:
        env: an id, or `file.py:Name` of a benchmark.
        executor: as `make_executor` takes it; not used if the options name several `executors`.
        options: further options of `gym.make`.

    Raises:
        W4SError: a value cannot be used; the message says what was expected.
    """
    if "executor" in options:
        raise ConfigError("expected the executor in --executor; it stands in --env-options")
    one: dict[str, Any] = {} if "executors" in options else {"executor": executor}
    made = gym.make(find_env(env), disable_env_checker=True, **one, **options).unwrapped
    assert isinstance(made, WorkflowDesignEnv)
    return made


def check_workflow(env: WorkflowDesignEnv, source: str, path: Path) -> None:
    """Refuse a workflow that does not compile or defines no solver, before anything is paid for.

    Raises:
        ConfigError: it cannot run on any item.
    """
    problem = run_sync(env.sandbox.check_workflow(source))
    if problem is not None:
        raise ConfigError(f"expected a workflow that defines solver in {path}; {problem.text()}")
