"""`w4s-gym list`: what there is to choose from, and what is missing for it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.table import Table

import w4s_gym.executors
from w4s_gym.benchmark import benchmark_names, get_benchmark
from w4s_gym.data import without_hub
from w4s_gym.errors import DataMissing, W4SError
from w4s_gym.executors.own import registered_schemes
from w4s_gym.models import MODELS, local_file
from w4s_gym.plugins import Group, announced
from w4s_gym.registration import env_id

Section = Literal["benchmarks", "executors", "models", "designers"]


@dataclass(frozen=True)
class List:
    """List benchmarks with their data, executors, models and designers. Nothing is fetched."""

    what: tyro.conf.Positional[tuple[Section, ...]] = ("benchmarks", "executors", "models", "designers")
    """Sections to list; all by default."""
    json: bool = False
    """Print JSON instead of tables."""

    def run(self) -> int:
        """Look and print."""
        found = {section: _SECTIONS[section]() for section in self.what}
        if self.json:
            print(json.dumps(found, ensure_ascii=False, indent=1))
            return 0
        console = Console(highlight=False, markup=False)
        for section, rows in found.items():
            table = Table(title=section, title_justify="left", box=None, padding=(0, 2, 0, 0))
            for column in rows[0]:
                table.add_column(column, no_wrap=column == "name", overflow="fold")
            for row in rows:
                table.add_row(*row.values())
            console.print(table)
            console.print()
        return 0


def _benchmarks() -> list[dict[str, str]]:
    rows = []
    for name in benchmark_names():
        try:
            with without_hub():
                items = f"{len(get_benchmark(name).load()):,}"
            data = "here"
        except DataMissing as error:
            # An option of one environment is of no use to whoever asks for all.
            items, data = "", "not here: " + "; or ".join(way for way in error.ways if "data_path" not in way)
        except W4SError as error:
            items, data = "", str(error)
        rows.append({"name": env_id(name), "items": items, "data": data})
    return rows


def _executors() -> list[dict[str, str]]:
    profiles = sorted(path.stem for path in Path(w4s_gym.executors.__file__).parent.glob("profiles/*.json"))
    return [
        *({"name": f"sim:{profile}", "what": "simulated: free, offline, deterministic"} for profile in profiles),
        {"name": "openai:<model>", "what": "an endpoint with OpenAI's protocol; pip install 'w4s-gym[openai]'"},
        {"name": "local:<model>", "what": "a GGUF file, served here by llama.cpp; pip install 'w4s-gym[local]'"},
        *({"name": f"{scheme}:...", "what": f"of {_package('executors', scheme)}"} for scheme in registered_schemes()),
        {"name": "file.py:Class", "what": "an executor of yours"},
    ]


def _package(group: Group, name: str) -> str:
    """Say which package announces a name."""
    point = announced(group).get(name)
    return f"the package {point.dist.name}" if point is not None and point.dist is not None else "this program"


def _models() -> list[dict[str, str]]:
    rows = []
    for model in MODELS.values():
        path = local_file(model)
        where = str(path) if path else f"not here: {model.ways()}"
        rows.append({"name": model.name, "size": f"{model.size / 1e6:,.0f} MB", "file": where})
    return rows


def _designers() -> list[dict[str, str]]:
    from w4s_gym.study.designers import DESIGNERS

    rows = [
        {
            "name": name,
            "label": designer.label,
            "meta-agent": ("trained" if designer.trains else "asked") if designer.needs_policy else "none",
        }
        for name, designer in DESIGNERS.items()
    ]
    own = [name for name in announced("algorithms") if name not in DESIGNERS]
    return [*rows, *({"name": name, "label": f"of {_package('algorithms', name)}", "meta-agent": ""} for name in own)]


_SECTIONS = {"benchmarks": _benchmarks, "executors": _executors, "models": _models, "designers": _designers}
