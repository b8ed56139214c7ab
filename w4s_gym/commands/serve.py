"""`w4s-gym serve`: an environment for trainers that speak OpenEnv."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import tyro

from w4s_gym.command_line import Options
from w4s_gym.commands.opening import open_environment
from w4s_gym.errors import ConfigError


@dataclass(frozen=True)
class Serve:
    """Serve an environment to clients of OpenEnv; one server has many sessions. See docs/interfaces.md."""

    env: tyro.conf.Positional[str]
    """Environment id, or `file.py:Name` of a benchmark."""
    executor: str = "sim:gpt-4o-mini"
    """What the workflows call: `sim:<profile>`, `openai:<model>`, `local:<model>` or `file.py:Class`."""
    env_options: Options = field(default_factory=dict)
    """Further options of `gym.make`, for instance `{"prompt_style": "compact", "budget": {"dollars": 5}}`."""
    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` is every one of this machine's, and there are no passwords."""
    port: int = 8000
    sessions: int = 64
    """Most sessions at once."""
    idle_seconds: float = 3600.0
    """A session that nothing was asked of for so long is closed."""
    package: Path | None = None
    """Write a package of OpenEnv into this new folder instead: manifest, floor, oracle, server, Dockerfile."""

    def run(self) -> int:
        """Serve until Ctrl-C, or write the package."""
        if find_spec("openenv") is None:
            raise ConfigError("expected OpenEnv for a server; install it with `pip install 'w4s-gym[openenv]'`")
        if self.sessions < 1 or self.idle_seconds <= 0 or not 0 < self.port < 65536:
            raise ConfigError(
                "expected --sessions of at least 1, --idle-seconds above 0 and --port from 1 to 65535; got "
                f"{self.sessions}, {self.idle_seconds:g} and {self.port}"
            )
        env = open_environment(self.env, self.executor, self.env_options)
        try:
            if self.package is not None:
                from w4s_gym.integrations.openenv_package import write_package

                write_package(self.package, env, {"executor": self.executor, **self.env_options})
                print(f"package: {self.package}; check it with `openenv validate {self.package}`")
                return 0
            from w4s_gym.integrations.openenv_server import serve

            env.split  # noqa: B018  (data that lack are missed now, not by the first client)
            simulated = " (simulated)" if env.executor.simulated else ""
            print(
                f"{self.env} on http://{self.host}:{self.port}, executor {self.executor}{simulated}, sandbox "
                f"{env.sandbox.report().level}; Ctrl-C ends it",
                flush=True,
            )
            serve(env, self.host, self.port, sessions=self.sessions, idle_seconds=self.idle_seconds)
            return 0
        finally:
            env.close()
