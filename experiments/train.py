"""Train a meta-agent: online (play, learn, repeat), or offline on trajectories that any run wrote.

    python experiments/train.py --algo rlao --out runs/rlao
    python experiments/train.py --algo sft --rows a.jsonl b.jsonl --out runs/sft
    python experiments/train.py --config experiments/configs/qwen2.5-coder-7b-lora.yaml --out runs/qwen

Online runs write a checkpoint after each iteration and go on from it when they are started again with the same folder.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from _training import DesignConfig, command_line, run

from w4s_gym.algos.base import Batch
from w4s_gym.algos.best_of_m import BestOfM
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.algos.trajectory import Row, read_rows, write_rows
from w4s_gym.errors import ConfigError
from w4s_gym.options import json_object


@dataclass(frozen=True)
class TrainConfig(DesignConfig):
    """Train a meta-agent."""

    algo: Literal["rlao", "sft", "grpo"] = "rlao"
    algo_options: str = "{}"
    """Options of the algorithm, as JSON, for instance `{"tau": 0.2, "epochs": 2}`."""
    rows: tuple[Path, ...] = ()
    """Offline: files of rows to train on, all in one update; no environment is made."""
    out: Path = Path("runs/train")
    """Run folder: `rows.jsonl`, `curve.jsonl` and `state/` with the weights in `state/policy`."""


def make_algorithm(config: TrainConfig, policy: Policy) -> BestOfM:
    """Make the algorithm that trains `policy`."""
    options = {
        "candidates": config.candidates,
        "run": f"{config.algo}/{config.seed}",
        **json_object("algo_options", config.algo_options),
    }
    if config.algo == "rlao":
        from w4s_gym.algos.rlao import RLAO

        return RLAO(policy, **options)
    if config.algo == "sft":
        from w4s_gym.algos.sft import SFT

        return SFT(policy, **options)
    from w4s_gym.algos.grpo import GRPO

    return GRPO(policy, **options)


def train_offline(config: TrainConfig) -> None:
    """Train on recorded rows."""
    rows: list[Row] = []
    for file in config.rows:
        if not file.exists():
            raise ConfigError(f"expected a file of rows; there is no {file}. Write one with experiments/collect.py")
        rows += read_rows(file)
    algorithm = make_algorithm(config, config.make_policy())
    figures = algorithm.update(Batch(rows, "", 0.0))
    algorithm.save(config.out / "state")
    print(f"{len(rows)} rows: " + " ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    print(f"weights: {config.out / 'state' / 'policy'}")


def train_online(config: TrainConfig) -> None:
    """Play and learn, one checkpoint per iteration."""
    policy = config.make_policy()
    algorithm = make_algorithm(config, policy)
    state = config.out / "state"
    if (state / "progress.json").exists():
        algorithm.load(state)
        print(f"going on after iteration {algorithm.progress.iterations}")
    env = config.make_env(policy)
    try:
        while algorithm.progress.iterations < config.iterations:
            iteration = algorithm.progress.iterations
            batch = algorithm.collect(env, derive_seed("collect", config.seed, iteration) % 2**31)
            write_rows(config.out / "rows.jsonl", batch.rows)
            figures = {**batch.metrics, "best": batch.best_accuracy, **algorithm.update(batch)}
            algorithm.save(state)
            record = {"iteration": iteration, "calls": env.ledger.usage.calls, **figures}
            with (config.out / "curve.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            shown = " ".join(f"{key} {record[key]:.3g}" for key in ("reward", "accuracy", "runnable", "best", "loss"))
            simulated = " (simulated)" if env.state.card.simulated else ""
            print(f"iteration {iteration}: {shown}{simulated}", flush=True)
    finally:
        env.close()
    print(f"best workflow, validation {algorithm.progress.best_accuracy:.3f}:\n{algorithm.progress.best_workflow}")


def main() -> None:
    """Train."""
    config = command_line(TrainConfig, __doc__ or "")
    if config.rows:
        train_offline(config)
    else:
        train_online(config)


if __name__ == "__main__":
    run(main)
