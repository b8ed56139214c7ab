"""`w4s-gym doctor`: which isolation this machine gives."""

from __future__ import annotations

from dataclasses import dataclass

from w4s_gym.sandbox.config import Level
from w4s_gym.sandbox.doctor import doctor


@dataclass(frozen=True)
class Doctor:
    """Attack the sandbox on this machine and print which isolation level holds."""

    require: Level = "L1"
    """Level that you need; the exit code is 1 below it."""
    as_json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> int:
        """Attack and print."""
        return doctor(self.require, self.as_json)
