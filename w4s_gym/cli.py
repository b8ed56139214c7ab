"""Command line `w4s-gym`: one subcommand per entry of `COMMANDS`, imported when it is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from w4s_gym import __version__
from w4s_gym.command_line import guarded, parse
from w4s_gym.options import near
from w4s_gym.terminal import tolerate_terminals

COMMANDS = {
    "list": ("listing:List", "benchmarks (and whether their data is here), executors, models, designers"),
    "eval": ("evaluate:Eval", "measure a workflow file on a benchmark"),
    "run": ("run:Run", "answer one question with a workflow file"),
    "new": ("new:New", "make a benchmark of your own questions"),
    "compare": ("compare:Compare", "train and compare designers of workflows"),
    "train": ("train:TrainConfig", "train a meta-agent"),
    "report": ("report:Report", "tables and plots of a finished comparison again"),
    "show": ("show:Show", "the tables of a run in the terminal"),
    "export": ("export:Export", "scores, tables in LaTeX and plots of a run, for a paper"),
    "view": ("view:View", "one HTML page of a run"),
    "serve": ("serve:Serve", "an environment for trainers that speak OpenEnv"),
    "diff": ("diff:Diff", "what differs between two runs, item by item"),
    "doctor": ("doctor:Doctor", "which isolation this machine gives workflows"),
}
"""Name -> (module of `w4s_gym.commands` and class in it, what it does)."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the subcommand that the arguments name (default: those of the process)."""
    tolerate_terminals()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--version"]:
        print(f"w4s-gym {__version__}")
        sys.exit(0)
    if not given or given[0] in ("-h", "--help"):
        print(_help())
        sys.exit(0)
    name, *rest = given
    if name not in COMMANDS:
        print(
            f"error: expected a command among {', '.join(COMMANDS)}; got {name!r}{near(name, COMMANDS)}",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.exit(guarded(lambda: _run(name, rest)))


def _run(name: str, arguments: Sequence[str]) -> int:
    place, _ = COMMANDS[name]
    module, _, kind = place.partition(":")
    command: type[Any] = getattr(import_module(f"w4s_gym.commands.{module}"), kind)
    return parse(command, command.__doc__, arguments=arguments, program=f"w4s-gym {name}").run()


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: w4s-gym [--version] COMMAND ...",
            "",
            *lines,
            "",
            "w4s-gym COMMAND --help lists the options of a command.",
        ]
    )
