"""What `collect.py` and `train.py` share: a configuration from the command line and a YAML file, and what it makes."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import gymnasium as gym
import tyro
import yaml

import w4s_gym  # noqa: F401  (registers the environments)
from w4s_gym.algos import make_policy
from w4s_gym.algos.policies.base import Policy
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.options import json_object

Config = TypeVar("Config")
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


@dataclass(frozen=True)
class DesignConfig:
    """A meta-agent in an environment."""

    env: str = "W4S-GSMSymbolic-v0"
    """Environment id."""
    env_options: str = '{"max_turns": 2, "validation_size": 64}'
    """Options of `gym.make`, as JSON."""
    policy: str = "tiny"
    """The meta-agent: `tiny`, `hf:<name or folder>`, or, to collect only, `openai:<model>`."""
    policy_options: str = "{}"
    """Options of `make_policy`, as JSON."""
    candidates: int = 5
    """Candidates a turn (m)."""
    iterations: int = 10
    """Episodes to play."""
    seed: int = 0

    def make_policy(self) -> Policy:
        """Make the meta-agent."""
        return make_policy(self.policy, **json_object("policy_options", self.policy_options))

    def make_env(self, policy: Policy) -> WorkflowDesignEnv:
        """Make the environment with the prompt style that the meta-agent wants."""
        options = {"prompt_style": policy.prompt_style, **json_object("env_options", self.env_options)}
        env = gym.make(self.env, disable_env_checker=True, **options).unwrapped
        assert isinstance(env, WorkflowDesignEnv)
        return env


def read_config(kind: type[Config], path: Path) -> Config:
    """Read a configuration from a YAML file; options given as mappings become JSON.

    Raises:
        ConfigError: the file is missing or no YAML mapping, or has a key that `kind` does not know.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"expected a YAML file at {path}: {error}") from error
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, dict) or not set(values) <= known:
        raise ConfigError(f"{path}: expected a mapping with some of the keys {', '.join(sorted(known))}")
    plain = {key: json.dumps(_numbers(value)) if isinstance(value, dict) else value for key, value in values.items()}
    return kind(**plain)


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Read `2e-5` as a number: YAML 1.1 takes it for a text, since it has no dot."""
    return {k: float(v) if isinstance(v, str) and _EXPONENT.fullmatch(v) else v for k, v in values.items()}


def command_line(kind: type[Config], description: str) -> Config:
    """Make a configuration from the command line; `--config <file>` in front sets other defaults."""
    arguments = sys.argv[1:]
    default = None
    if arguments[:1] == ["--config"]:
        if len(arguments) < 2:
            raise ConfigError("expected a file after --config")
        default, arguments = read_config(kind, Path(arguments[1])), arguments[2:]
    return tyro.cli(kind, args=arguments, default=default, description=description)


def run(main: Any) -> None:
    """Run a command: errors made on purpose become one line, Ctrl-C ends quietly."""
    try:
        main()
    except W4SError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; every finished iteration is on disk")
