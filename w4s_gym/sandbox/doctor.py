"""`w4s-gym doctor`: which isolation this machine gives, why not more, and what to do."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from w4s_gym.errors import SandboxUnavailable
from w4s_gym.sandbox.config import LEVELS, IsolationReport, Level, SandboxConfig
from w4s_gym.sandbox.isolation import satisfies
from w4s_gym.sandbox.sandbox import Sandbox

_MEANING: dict[Level, str] = {
    "L0": "process: resource limits and a clean environment only. Model-written code can read your files and keys",
    "L1": "+ seccomp: no files, no network, no processes",
    "L2": "+ Landlock: the kernel denies files and TCP a second time",
    "L3": "+ namespaces: nothing of the machine is visible",
    "LX": "inside a container or virtual machine that was set up for it",
}


def doctor(require: Level = "L1", as_json: bool = False) -> int:
    """Attack the sandbox on this machine and print which isolation level holds.

    Args:
        require: level that you need; the exit code is 1 below it.
        as_json: print JSON instead of a table.
    """
    # "L0" accepts every machine, so that the report is there to be shown.
    try:
        with Sandbox(SandboxConfig(require="L0", external=require == "LX")) as sandbox:
            report = sandbox.report()
    except SandboxUnavailable as error:
        print(f"The sandbox does not start: {error}", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(asdict(report), indent=2))
    else:
        _show(report, require)
    return 0 if satisfies(report.level, require) else 1


def _show(report: IsolationReport, require: Level) -> None:
    console = Console(width=max(100, Console().width), highlight=False, markup=False)
    console.print(f"{platform.system()} {platform.release()}, {platform.machine()}")
    table = Table("layer", "holds", "what was tried, or what is missing", show_lines=True)
    for layer in report.layers:
        table.add_row(layer.name, "yes" if layer.holds else "NO", layer.detail)
    console.print(table)
    console.print(f"Level {report.level}: {_MEANING[report.level]}.", soft_wrap=True)
    if report.why_not_higher:
        console.print(f"Why not higher: {report.why_not_higher}.", soft_wrap=True)
    if not satisfies(report.level, require):
        console.print(
            f"This is below the required {require}: environments refuse to start here. Install what is missing, or run "
            "inside a container or virtual machine and say so with SandboxConfig(external=True), or accept the risk "
            "with SandboxConfig(allow_unsafe=True).",
            soft_wrap=True,
        )
    elif report.level != LEVELS[-2] and report.level != "LX":
        console.print("Workflows may run here; the missing layers would add depth.")
