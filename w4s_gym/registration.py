"""Registers `W4S-<benchmark>-v0` for every known benchmark."""

from __future__ import annotations

import re
from functools import partial

import gymnasium as gym

from w4s_gym.benchmark import Benchmark, benchmark_names, get_benchmark, register_benchmark
from w4s_gym.errors import ConfigError
from w4s_gym.options import near
from w4s_gym.plugins import announced, is_plugin, load_announced

ENTRY_POINT = "w4s_gym.env:WorkflowDesignEnv"
VECTOR_ENTRY_POINT = "w4s_gym.vector:VectorWorkflowDesignEnv"


def env_id(benchmark: str) -> str:
    """Return the environment id of a benchmark."""
    return f"W4S-{benchmark}-v0"


def register_environments() -> None:
    """Register an id for every benchmark that has none yet; call it after registering a benchmark of your own.

    Benchmarks that installed packages announce are among them; none is loaded before it is used.
    """
    for name in announced("benchmarks"):
        if name not in benchmark_names():  # nobody replaces a benchmark that is known
            register_benchmark(name, partial(_announced_benchmark, name))
    for name in benchmark_names():
        if env_id(name) not in gym.registry:
            _register(name, name)


def _announced_benchmark(name: str) -> Benchmark:
    found = load_announced("benchmarks", name)
    if not isinstance(found, Benchmark) or found.name != name:
        raise ConfigError(
            f"expected the entry point {name!r} in w4s_gym.benchmarks to be a Benchmark of that name; "
            f"got {getattr(found, 'name', found)!r:.80}"
        )
    return found


def find_env(spec: str) -> str:
    """Return the environment id that a text names, for `gym.make`.

    Args:
        spec: an id, or `file.py:Name` of a `Benchmark` in a file of yours, which is registered then. Every process
            that is given the text can do so.

    Raises:
        ConfigError: there is none, or another benchmark has the same name; the message says which are near.
    """
    if is_plugin(spec):
        return _register_plugin(spec)
    known = sorted(name for name in gym.registry if name.startswith("W4S-"))
    if spec not in known:
        hint = near(spec, known) or near(env_id(spec), known)
        raise ConfigError(
            f"expected an environment among {', '.join(known)}, or `file.py:Name` of a benchmark of yours; "
            f"got {spec!r}{hint}"
        )
    return spec


def _register_plugin(spec: str) -> str:
    benchmark = get_benchmark(spec)
    name = benchmark.name
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise ConfigError(f"expected the name of the benchmark {spec} to be of letters, digits and _; got {name!r}")
    known = gym.registry.get(env_id(name))
    if known is not None and get_benchmark(known.kwargs["benchmark"]) is not benchmark:
        raise ConfigError(f"expected the benchmark {spec} to have a name of its own; there is another {name}")
    if known is None:
        _register(name, spec)
    return env_id(name)


def _register(name: str, spec: str) -> None:
    gym.register(
        id=env_id(name),
        entry_point=ENTRY_POINT,
        vector_entry_point=VECTOR_ENTRY_POINT,
        kwargs={"benchmark": spec},
    )
