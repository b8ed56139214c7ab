"""Objects of other people's: named by a text, `file.py:Name`, or announced by an installed package's entry points.

Every process that is given the text finds the object itself. Groups of entry points: `w4s_gym.benchmarks`,
`w4s_gym.executors`, `w4s_gym.algorithms`, `w4s_gym.policies`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Literal

from w4s_gym.errors import ConfigError
from w4s_gym.options import refuse_unknown
from w4s_gym.paths import user_path

MODULE_PREFIX = "w4s_plugin_"
"""Names of the modules of such files begin so; nobody can import them by name."""


def is_plugin(spec: str) -> bool:
    """Whether a text has the form `file.py:Name`."""
    return isinstance(spec, str) and spec.rpartition(":")[0].endswith(".py")


def load_plugin(spec: str, what: str) -> Any:
    """Run a file, once in a process, and return what it calls by a name.

    Args:
        spec: `file.py:Name`; a file below the working directory may be given relative to it.
        what: what is expected there, for messages.

    Raises:
        ConfigError: there is no such file, it does not run, or it has nothing of that name.
    """
    file, _, name = spec.rpartition(":")
    path = user_path(file)
    if not path.is_file():
        raise ConfigError(f"expected {what} in a file; there is no file {file}")
    found = _run(path.resolve())
    if name not in found:
        names = [key for key in found if not key.startswith("_")]
        refuse_unknown([name], names, file, "names")
    return found[name]


@cache
def _run(path: Path) -> dict[str, Any]:
    # A name of its own: no file hides an installed module, and dataclasses find the module that they stand in.
    name = f"{MODULE_PREFIX}{hashlib.blake2b(str(path).encode(), digest_size=6).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(f"{path} does not run: {type(error).__name__}: {error}") from error
    return vars(module)


Group = Literal["benchmarks", "executors", "algorithms", "policies"]


@cache
def announced(group: Group) -> Mapping[str, EntryPoint]:
    """Return what installed packages announce: name -> entry point, none of which is loaded.

    Args:
        group: last part of the name of the group of entry points, `w4s_gym.<group>`.
    """
    return {point.name: point for point in sorted(entry_points(group=f"w4s_gym.{group}"), key=lambda p: p.name)}


def load_announced(group: Group, name: str) -> Any:
    """Load what a package announces by a name.

    Raises:
        ConfigError: it cannot be loaded; the message names the package.
    """
    point = announced(group)[name]
    try:
        return point.load()
    except Exception as error:  # whatever the package does wrong
        package = f" of the package {point.dist.name}" if point.dist else ""
        raise ConfigError(
            f"the entry point {name!r} in w4s_gym.{group}{package} cannot be loaded: {point.value}: "
            f"{type(error).__name__}: {error}"
        ) from error
