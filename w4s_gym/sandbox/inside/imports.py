"""Imports without a file system.

Before it forks, the zygote loads compiled modules and common Python modules, and puts the code of all the others (the
rest of the standard library and the allowed packages) into one memory mapping. Children import from there, so that
they need no access to any file, and nothing that is not in the mapping can be imported.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import marshal
import mmap
import os
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import IO, Any

_SKIPPED_DIRECTORIES = {
    "__pycache__", "ensurepip", "idlelib", "lib2to3", "lib-dynload", "pydoc_data", "site-packages", "test", "tests",
    "tkinter", "turtledemo",
}  # fmt: skip

_SKIPPED_EXTENSIONS = (
    "_test", "_xx", "xx", "_tkinter", "_curses", "_dbm", "_gdbm", "readline", "nis", "ossaudiodev",
    "_asyncio",  # loads all of asyncio, which is seldom used and works without it
)  # fmt: skip

_EXTENSION_SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)


class AllowedPackages:
    """Finds the allowed packages, and only these, while the zygote loads them."""

    def __init__(self, locations: dict[str, str]) -> None:
        """Map top-level names to the directories they lie in."""
        self._locations = locations

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """Return the spec of an allowed top-level package."""
        if path is not None or name not in self._locations:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [self._locations[name]])


class Archive(importlib.abc.Loader):
    """Finds and loads Python modules whose code lies in a memory mapping."""

    def __init__(self, roots: list[tuple[str, str]]) -> None:
        """Read the modules below `roots`, pairs of (package prefix such as "numpy." or "", directory)."""
        self._entries: dict[str, tuple[int, int, bool, bool, str]] = {}
        offset = 0
        with _anonymous_file() as file:
            for prefix, root in roots:
                for name, path in _modules(prefix, root):
                    if name in sys.modules or name in self._entries:
                        continue
                    data, compiled = _read(path)
                    is_package = os.path.basename(path) == "__init__.py"
                    self._entries[name] = (offset, len(data), compiled, is_package, path)
                    offset += file.write(data)
            file.flush()
            # Private: a fork copies neither the content nor its page tables, and no child can change it for others.
            self._memory = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """Return the spec of a module in the archive."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=entry[4], is_package=entry[3])
        if entry[3]:
            spec.submodule_search_locations = [os.path.dirname(entry[4])]
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        """Use the default module type."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        module.__file__ = self._entries[module.__name__][4]
        exec(self.get_code(module.__name__), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """Return the code of a module in the archive."""
        offset, size, compiled, _, path = self._entries[name]
        data = self._memory[offset : offset + size]
        return marshal.loads(data) if compiled else compile(data, path, "exec", dont_inherit=True)

    def get_source(self, name: str) -> None:
        """Return None: source is not kept."""


def _modules(prefix: str, root: str) -> list[tuple[str, str]]:
    found = []
    for directory, subdirectories, files in os.walk(root):
        inner = os.path.relpath(directory, root)
        package = prefix if inner == "." else prefix + inner.replace(os.sep, ".") + "."
        subdirectories[:] = sorted(
            d
            for d in subdirectories
            if d not in _SKIPPED_DIRECTORIES and d.isidentifier() and not d.startswith("config-")
        )
        for file in sorted(files):
            if file == "__init__.py":
                found.append((package.rstrip("."), os.path.join(directory, file)))
            elif file.endswith(".py") and file[:-3].isidentifier():
                found.append((package + file[:-3], os.path.join(directory, file)))
    return [(name, path) for name, path in found if name]


def _read(path: str) -> tuple[bytes, bool]:
    """Return a module's compiled code if it lies on disk and fits this Python, else its source."""
    with contextlib.suppress(OSError):
        with open(importlib.util.cache_from_source(path), "rb") as file:
            data = file.read()
        if data[:4] == importlib.util.MAGIC_NUMBER:
            return data[16:], True
    with open(path, "rb") as file:
        return file.read(), False


def _anonymous_file() -> IO[bytes]:
    if sys.platform == "linux":
        return open(os.memfd_create("modules"), "wb")
    return tempfile.TemporaryFile()


def load_extensions() -> None:
    """Import every compiled module of the standard library: a child can open none."""
    directory = os.path.join(sysconfig.get_path("stdlib"), "lib-dynload")
    for file in sorted(os.listdir(directory)):
        name = file.split(".")[0]
        if file.endswith(_EXTENSION_SUFFIXES) and not name.startswith(_SKIPPED_EXTENSIONS):
            with contextlib.suppress(ImportError):  # built against a library that this machine lacks
                importlib.import_module(name)


def load_package(name: str, directory: str) -> None:
    """Import a package with all its compiled modules, but for its tests' ones."""
    importlib.import_module(name)
    root = os.path.join(directory, name)
    for inner, subdirectories, files in os.walk(root):
        subdirectories[:] = sorted(d for d in subdirectories if d not in _SKIPPED_DIRECTORIES)
        package = os.path.relpath(inner, directory).replace(os.sep, ".")
        for file in sorted(files):
            module = file.split(".")[0]
            if file.endswith(_EXTENSION_SUFFIXES) and not module.endswith("tests"):
                with contextlib.suppress(ImportError):  # made for an optional dependency that is not there
                    importlib.import_module(f"{package}.{module}")


def prepare(locations: dict[str, str], preload: list[str]) -> None:
    """Import what has to be imported before confinement, then cut off the file system.

    Args:
        locations: allowed top-level package -> directory it lies in.
        preload: modules to import now.

    Raises:
        ModuleNotFoundError: a module of `preload` needs a package that is not allowed.
    """
    sys.meta_path.insert(0, AllowedPackages(locations))
    for name in preload:
        if name in locations:
            load_package(name, locations[name])
        else:
            importlib.import_module(name)
    roots = [("", sysconfig.get_path("stdlib"))]
    for name, directory in locations.items():
        if os.path.isdir(os.path.join(directory, name)):
            roots.append((name + ".", os.path.join(directory, name)))
    archive = Archive(roots)
    sys.meta_path[:] = [
        f for f in sys.meta_path if f in (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter)
    ]
    sys.meta_path.append(archive)
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
