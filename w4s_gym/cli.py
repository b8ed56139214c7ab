"""Command line `w4s-gym`: one subcommand per entry of `COMMANDS`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import tyro

from w4s_gym.sandbox.doctor import doctor
from w4s_gym.terminal import tolerate_terminals

COMMANDS: dict[str, Callable[..., int]] = {"doctor": doctor}
"""Name -> function; its parameters become options, its return value the exit code."""


def main(args: Sequence[str] | None = None) -> None:
    """Run the subcommand that the arguments name (default: those of the process)."""
    tolerate_terminals()
    sys.exit(tyro.extras.subcommand_cli_from_dict(COMMANDS, prog="w4s-gym", args=args))
