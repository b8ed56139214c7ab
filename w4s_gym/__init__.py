"""Workflow design for frozen language models as a Gymnasium environment family.

Importing this package registers `W4S-<benchmark>-v0` for every benchmark; it imports no machine-learning library.
"""

from w4s_gym import envs as _envs  # noqa: F401  (registers the benchmarks)
from w4s_gym.benchmark import Benchmark, Item, SeedWorkflow, benchmark_names, register_benchmark
from w4s_gym.registration import env_id, register_environments

__version__ = "0.1.0"
__all__ = [
    "Benchmark",
    "Item",
    "SeedWorkflow",
    "benchmark_names",
    "env_id",
    "register_benchmark",
    "register_environments",
]

register_environments()
