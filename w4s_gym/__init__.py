"""Workflow design for frozen language models as a Gymnasium environment family.

Importing this package registers `W4S-<benchmark>-v0` for every benchmark; it imports no machine-learning library.

Example:
    >>> import gymnasium as gym, w4s_gym
    >>> env = gym.make("W4S-GSMSymbolic-v0", validation_size=8, test_size=8, max_turns=1)
    >>> observation, info = env.reset(seed=0)
    >>> info["state"]["benchmark"], info["simulated"]
    ('GSMSymbolic', True)
    >>> action = env.action_space.sample()  # a random valid workflow; a policy writes a better one
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> info["evaluation"]["status"], terminated
    ('evaluated', True)
    >>> env.close()
"""

from w4s_gym import envs as _envs  # noqa: F401  (registers the benchmarks)
from w4s_gym.benchmark import Benchmark, Item, SeedWorkflow, benchmark_names, register_benchmark
from w4s_gym.registration import env_id, register_environments
from w4s_gym.scorer import Scorer, make_scorer

__version__ = "0.2.0"
__all__ = [
    "Benchmark",
    "Item",
    "Scorer",
    "SeedWorkflow",
    "benchmark_names",
    "env_id",
    "make_scorer",
    "register_benchmark",
    "register_environments",
]

register_environments()
