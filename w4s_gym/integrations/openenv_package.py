"""An environment as a package of OpenEnv: what `openenv validate`, `build` and `push` take."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from w4s_gym import __version__
from w4s_gym.action import format_action
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError
from w4s_gym.paths import user_path

SEED = 0
"""Seed of the episode in which floor and oracle were measured."""

_MANIFEST = """\
spec_version: 1
name: {name}
version: {version}
type: space
runtime: fastapi
app: server.app:app
port: 8000
validation:
  reward:
    range: [0.0, 1.0]        # 1: beats every workflow before it; 0.5: beats the last one; 0: neither
    oracle_tolerance: 0.0
    floor_margin: 1.0        # floor.json, the seed workflow once more, earns 0
  resources: {{cpu: 2.0, memory_mb: 4096, disk_mb: 2048, episode_timeout_s: 3600.0}}
  capabilities:
    verifier: {{kind: reward_channel}}
    oracle: {{form: script, location: validation/oracle.py}}
    canaries: validation/floor.json
  execution: {{probe_path: validation/runtime.json, dockerfile: Dockerfile}}
  types: {{tags: [agent-design]}}
"""
_APP = '''\
"""Server of the environment."""

import gymnasium as gym
import w4s_gym
from w4s_gym.integrations.openenv_server import make_app, serve

host = gym.make({env_id!r}, disable_env_checker=True, **{options!r}).unwrapped
app = make_app(host)


def main() -> None:
    """Serve on every address of this machine."""
    serve(host, "0.0.0.0", 8000, sessions=64, idle_seconds=3600.0)


if __name__ == "__main__":
    main()
'''
_ORACLE = '''\
"""Plays the action that earns most against the server at the address given, and prints its reward."""

import json
import sys
from pathlib import Path

from w4s_gym.integrations.openenv import WorkflowAction, WorkflowClient

url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000"
action = json.loads(Path(__file__).with_name("oracle.json").read_text())
with WorkflowClient(url).sync() as client:
    client.reset(seed={seed})
    print(client.step(WorkflowAction(**action)).reward)
'''
_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "openenv-{name}"
version = "{version}"
requires-python = ">=3.11"
dependencies = ["w4s-gym[openenv]=={version}", "openenv>=0.10,<0.11"]

[project.scripts]
server = "server.app:main"

[tool.setuptools]
packages = ["server"]
"""
_DOCKERFILE = """\
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml .
COPY server server
RUN pip install --no-cache-dir .
CMD ["python", "-m", "server.app"]
"""


def write_package(folder: Path, env: WorkflowDesignEnv, options: Mapping[str, Any]) -> None:
    """Write a package; its floor and its oracle are measured.

    The episode starts from the poorest of the benchmark's seed workflows. The floor is that workflow once more, which
    earns nothing; the oracle is the best of them.

    Args:
        folder: is made.
        env: the environment; only its benchmark is taken, with the options.
        options: those of `gym.make`.

    Raises:
        ConfigError: the folder exists, the reward is of another kind, or no hand-made workflow beats another.
    """
    folder = user_path(folder)
    if folder.exists():
        raise ConfigError(f"expected a new folder for the package; {folder} exists")
    if env.reward_rule.kind != "tiers":
        raise ConfigError(f"expected a reward of the kind 'tiers', whose range is known; got {env.reward_rule.kind!r}")
    env.reset(seed=SEED)
    found = env.seed_evaluations
    start = min(found, key=lambda name: env.value(found[name]))
    oracle = max(found, key=lambda name: env.value(found[name]))
    if env.value(found[oracle]) <= env.value(found[start]):
        raise ConfigError(
            f"expected hand-made workflows of {env.benchmark.name} of different accuracy, so that one can be the floor "
            "and another the oracle; take another executor or a larger validation_size"
        )
    sources = {seed.name: seed.source for seed in env.benchmark.choose_seeds(None)}
    floor_action = {"text": format_action("The seed workflow once more.", sources[start])}
    oracle_action = {"text": format_action("The best hand-made workflow.", sources[oracle])}
    name = f"w4s-{env.benchmark.name.lower()}"
    env_id = f"W4S-{env.benchmark.name}-v0"
    plan = {
        "plan_schema_version": "1",
        "reset": {"episode_id": "probe", "seed": SEED},
        "actions": [floor_action, oracle_action],
    }
    served = {**options, "seed_workflows": [start]}
    for part in ("server", "validation"):
        (folder / part).mkdir(parents=True)
    texts = {
        "openenv.yaml": _MANIFEST.format(name=name, version=__version__),
        "pyproject.toml": _PYPROJECT.format(name=name, version=__version__),
        "Dockerfile": _DOCKERFILE,
        "server/__init__.py": "",
        "server/app.py": _APP.format(env_id=env_id, options=json.loads(json.dumps(served))),
        "validation/runtime.json": json.dumps(plan, indent=1),
        "validation/floor.json": json.dumps([{"seed": SEED, "actions": [floor_action], "reward": 0.0}], indent=1),
        "validation/oracle.json": json.dumps(oracle_action, indent=1),
        "validation/oracle.py": _ORACLE.format(seed=SEED),
    }
    for place, text in texts.items():
        (folder / place).write_text(text, encoding="utf-8")
