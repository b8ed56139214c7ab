"""A cell that trains a meta-agent on some benchmarks and lets it design for others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from w4s_gym.algos.base import Algorithm
from w4s_gym.algos.policies.base import Policy
from w4s_gym.errors import ConfigError
from w4s_gym.study.cells import TRAINING_SHARE, Cell, Part, measure
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.environment import Workspace
from w4s_gym.study.training import Trained, train


@dataclass(frozen=True)
class TransferCell(Cell):
    """A meta-agent that is trained on some benchmarks in turn, then designs for others that it has never seen."""

    trained_on: tuple[str, ...] = ()
    """Environments that the meta-agent is trained on, instead of that of `config`."""
    targets: tuple[str, ...] = ()
    """Environments that it then designs for."""

    @property
    def configs(self) -> tuple[CompareConfig, ...]:
        """One configuration for each benchmark that the cell runs on."""
        return tuple(replace(self.config, env=name) for name in dict.fromkeys((*self.trained_on, *self.targets)))

    @property
    def designs_for(self) -> tuple[CompareConfig, ...]:
        """One configuration for each benchmark that is designed for and tested."""
        return tuple(replace(self.config, env=name) for name in self.targets)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The environments that it opens; a meta-agent that does not learn need not spend anything on training."""
        trained = [
            Part(replace(self.config, env=name), TRAINING_SHARE / len(self.trained_on), True)
            for name in (self.trained_on if self.designer.trains else ())
        ]
        tested = [Part(config, (1 - TRAINING_SHARE) / len(self.targets), False) for config in self.designs_for]
        return *trained, *tested

    def check(self) -> None:
        """Check what can be known before anything is run.

        Raises:
            ConfigError: the designer is no meta-agent, or cannot be trained.
        """
        super().check()
        if not self.designer.meta_agent:
            raise ConfigError(f"expected a meta-agent, which can design for unseen benchmarks; got {self.algo!r}")

    def _work(self, space: Workspace, policy: Policy | None, algorithm: Algorithm) -> tuple[Trained, dict[str, Any]]:
        """Train on some benchmarks, design for others.

        Returns:
            What training left, and `targets` (environment id -> `design` and `workflows`).
        """
        # A meta-agent that does not learn need not spend anything on the training benchmarks.
        budget = self.config.budget if self.designer.trains else 0
        share = TRAINING_SHARE / len(self.trained_on)
        envs = [
            space.on(name).environment(policy, self.config.turns, share, racing=self.config.racing)
            for name in self.trained_on
        ]
        try:
            trained = train(space, algorithm, envs, budget)
        finally:
            for env in envs:
                env.close()
        share = (1 - TRAINING_SHARE) / len(self.targets)
        return trained, {"targets": {name: measure(space.on(name), policy, None, share) for name in self.targets}}
