"""Imports point one way: which module may import which, read from the source (imports inside functions included)."""

from __future__ import annotations

import shutil
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[1]

FLOORS = (
    {"__main__"},
    {"cli"},
    {"commands"},
    {"study"},
    {"algos"},
    {"integrations", "scorer", "standalone", "testing", "vector", "wrappers", "calibration", "command_line"},
    {"env"},
    {"episode_env"},
    {"measuring_env"},
    {"parts", "snapshot"},
    {"config", "candidates"},
    {"measure", "room"},
    {"evaluation"},
    {"remembered"},
    {"agent"},
    {"episode", "prompts", "transcript"},
    {"executor_pool"},
    {"ledger", "drawn_requests", "feedback", "guided", "info", "render", "spaces"},
    {"envs", "action"},
    {"executors", "state", "data", "registration", "scoring", "splits", "workflows"},
    {"cluster"},
    {"benchmark", "results", "json_reply", "reply_format"},
    {"sandbox", "options", "plugins", "config_file", "journal", "racing", "reward", "models"},
    {"errors"},
    {
        "usage",
        "messages",
        "roles",
        "paths",
        "provenance",
        "terminal",
        "open_files",
        "quoting",
        "shares",
        "cache_folder",
        "checksum",
        "jsonl",
        "latest",
        "normal_form",
        "_loop",
    },
)
"""From the top: a module may import those of lower floors, and of its own as long as that closes no circle."""


@pytest.fixture(scope="module")
def imports(tmp_path_factory):
    """The import graph of the package; its parts lie in several folders and are one only once they are put together."""
    folder = tmp_path_factory.mktemp("source")
    places = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    for name in sorted(places, key=len):  # the root package first
        source, target = ROOT / places[name], folder / name.replace(".", "/")
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    loaded = sys.modules.pop("w4s_gym", None)  # grimp would take the installed package
    sys.path.insert(0, str(folder))
    try:
        yield grimp.build_graph("w4s_gym", cache_dir=None)
    finally:
        sys.path.remove(str(folder))
        if loaded is not None:
            sys.modules["w4s_gym"] = loaded


def test_every_module_has_its_floor(imports):
    parts = {module.split(".")[1] for module in imports.modules if "." in module}
    listed = set().union(*FLOORS)
    assert parts <= listed, f"put {sorted(parts - listed)} on a floor of FLOORS, above all that they import"
    assert sum(map(len, FLOORS)) == len(listed)


def test_no_module_imports_one_of_a_higher_floor(imports):
    layers = [grimp.Layer(*floor, independent=False) for floor in FLOORS]
    wrong = imports.find_illegal_dependencies_for_layers(layers, containers={"w4s_gym"})
    assert not wrong, "\n".join(
        f"{d.importer} must not import {d.imported}: {[' > '.join((*r.heads, *r.middle, *r.tails)) for r in d.routes]}"
        for d in wrong
    )


def test_no_imports_run_in_a_circle(imports):
    try:
        TopologicalSorter({m: imports.find_modules_directly_imported_by(m) for m in imports.modules}).prepare()
    except CycleError as error:
        pytest.fail(" < ".join(error.args[1]))


def test_what_runs_inside_the_sandbox_imports_nothing_of_the_package(imports):
    inside = {m for m in imports.modules if m.startswith("w4s_gym.sandbox.inside")}
    assert len(inside) > 10
    for module in inside:
        assert imports.find_modules_directly_imported_by(module) <= inside, module


def test_benchmarks_plug_in_and_nothing_depends_on_one(imports):
    benchmarks = {m for m in imports.modules if m.startswith("w4s_gym.envs")}
    for module in imports.modules - benchmarks - {"w4s_gym"}:
        assert not imports.find_modules_directly_imported_by(module) & benchmarks, module
