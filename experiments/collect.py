"""Play best-of-m episodes with a frozen meta-agent and append every text it wrote to a JSONL file.

    python experiments/collect.py --out rows.jsonl --iterations 20

The rows train any algorithm later: `python experiments/train.py --rows rows.jsonl --algo rlao`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from _training import DesignConfig, command_line, run

from w4s_gym.algos.best_of_m import Untrained
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import write_rows


@dataclass(frozen=True)
class CollectConfig(DesignConfig):
    """Collect trajectories without training."""

    out: Path = Path("rows.jsonl")
    """File that the rows are appended to."""


def main() -> None:
    """Collect."""
    config = command_line(CollectConfig, __doc__ or "")
    policy = config.make_policy()
    algorithm = Untrained(policy, candidates=config.candidates, run=f"collect/{config.seed}")
    env = config.make_env(policy)
    try:
        for iteration in range(config.iterations):
            batch = algorithm.collect(env, derive_seed("collect", config.seed, iteration) % 2**31)
            write_rows(config.out, batch.rows)
            figures = " ".join(f"{key} {value:.3g}" for key, value in batch.metrics.items())
            simulated = " (simulated)" if env.state.card.simulated else ""
            print(f"episode {iteration}: {figures}, best {batch.best_accuracy:.3f}{simulated}", flush=True)
    finally:
        env.close()


if __name__ == "__main__":
    run(main)
