"""Train a meta-agent: online (play, learn, repeat), or offline on trajectories that any run wrote.

    python experiments/train.py --algo rlao --out runs/rlao
    python experiments/train.py --algo untrained --iterations 20 --out runs/played      # only play, and keep the rows
    python experiments/train.py --algo sft --rows runs/played/rows.jsonl --out runs/sft
    python experiments/train.py --config experiments/configs/qwen2.5-coder-7b-lora.yaml --out runs/qwen

Online runs write a checkpoint after each iteration and go on from it when they are started again with the same folder.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import gymnasium as gym

import w4s_gym  # noqa: F401  (registers the environments)
from w4s_gym.algos import checkpoint, earlier_options, make_policy
from w4s_gym.algos.base import Batch
from w4s_gym.algos.best_of_m import BestOfM
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.trajectory import Row, read_rows
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.jsonl import mend_end
from w4s_gym.study.command import parse
from w4s_gym.study.config import Options
from w4s_gym.study.designers import Setup, find_designer
from w4s_gym.study.training import iterate


@dataclass(frozen=True)
class TrainConfig:
    """Train a meta-agent."""

    env: str = "W4S-GSMSymbolic-v0"
    """Environment id."""
    env_options: Options = field(default_factory=lambda: {"max_turns": 2, "validation_size": 64})
    """Options of `gym.make`."""
    policy: str = "tiny"
    """The meta-agent: `tiny`, `hf:<name or folder>`, or, with `--algo untrained`, `openai:<model>`."""
    policy_options: Options = field(default_factory=dict)
    """Options of `make_policy`."""
    algo: Literal["rlao", "sft", "grpo", "untrained"] = "rlao"
    """How it learns; `untrained` only plays."""
    algo_options: Options = field(default_factory=dict)
    """Options of the algorithm, for instance `{"tau": 0.2, "epochs": 2}`."""
    candidates: int = 5
    """Candidates a turn (m)."""
    iterations: int = 10
    """Iterations to play and learn."""
    seed: int = 0
    rows: tuple[Path, ...] = ()
    """Offline: files of rows to train on, all in one update; no environment is made."""
    out: Path = Path("runs/train")
    """Run folder: `rows.jsonl`, `curve.jsonl` and `state/` with the weights in `state/policy`."""

    def make_policy(self) -> Policy:
        """Make the meta-agent."""
        return make_policy(self.policy, **earlier_options.policy_options(self.policy_options))

    def make_algorithm(self, policy: Policy) -> BestOfM:
        """Make the algorithm that trains `policy`."""
        options = {**earlier_options.algorithm_options(self.algo, self.policy_options), **self.algo_options}
        setup = Setup(policy, self.candidates, f"{self.algo}/{self.seed}", self.seed, options=options)
        algorithm = find_designer(self.algo).make(setup)
        assert isinstance(algorithm, BestOfM)
        return algorithm

    def make_env(self, policy: Policy) -> WorkflowDesignEnv:
        """Make the environment with the prompt style that the meta-agent wants."""
        options = {"prompt_style": policy.prompt_style, **self.env_options}
        env = gym.make(self.env, disable_env_checker=True, **options).unwrapped
        assert isinstance(env, WorkflowDesignEnv)
        return env


def train_offline(config: TrainConfig) -> None:
    """Train on recorded rows."""
    rows: list[Row] = []
    for file in config.rows:
        if not file.exists():
            raise ConfigError(f"expected a file of rows; there is no {file}. Write one with --algo untrained")
        rows += read_rows(file)
    algorithm = config.make_algorithm(config.make_policy())
    figures = algorithm.update(Batch(rows, "", 0.0))
    algorithm.save(config.out / "state")
    print(f"{len(rows)} rows: " + " ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    print(f"weights: {config.out / 'state' / 'policy'}")


def train_online(config: TrainConfig) -> None:
    """Play and learn, one checkpoint per iteration."""
    policy = config.make_policy()
    algorithm = config.make_algorithm(policy)
    state = config.out / "state"
    checkpoint.settle(state)
    if (state / "progress.json").exists():
        algorithm.load(state)
        print(f"going on after iteration {algorithm.progress.iterations}")
    _set_unsaved_aside(config.out, algorithm)
    env = config.make_env(policy)
    try:
        for number in range(algorithm.progress.iterations, config.iterations):
            iteration = iterate(algorithm, env, config.seed, number, config.out / "rows.jsonl")
            figures = {"best": iteration.batch.best_accuracy, **iteration.figures}
            record = {"iteration": number, "calls": env.ledger.usage.calls, **figures}
            with (config.out / "curve.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            algorithm.save(state)  # last: what stands in the files above without it is dropped when the run goes on
            told = [key for key in ("reward", "accuracy", "runnable", "best", "loss") if key in figures]
            simulated = " (simulated)" if env.state.card.simulated else ""
            shown = " ".join(f"{key} {figures[key]:.3g}" for key in told)
            print(f"iteration {number}: {shown}{simulated}", flush=True)
    finally:
        env.close()
    print(f"best workflow, validation {algorithm.progress.best_accuracy:.3f}:\n{algorithm.progress.best_workflow}")


def _set_unsaved_aside(out: Path, algorithm: BestOfM) -> None:
    """Set aside what was written down of an iteration whose state was not saved: it will be played again."""
    played = algorithm.progress.iterations * algorithm.config.episodes

    def lost_row(line: bytes) -> bool:
        row = json.loads(line)
        return row["run"] == algorithm.run and row["episode"] >= played

    def lost_point(line: bytes) -> bool:
        return json.loads(line)["iteration"] >= algorithm.progress.iterations

    for file, lost in ((out / "rows.jsonl", lost_row), (out / "curve.jsonl", lost_point)):
        mend_end(file, unbroken=True)
        checkpoint.set_aside(file, lost)


def main() -> None:
    """Train; errors made on purpose become one line, Ctrl-C ends quietly."""
    config = parse(TrainConfig, __doc__)
    try:
        if config.rows:
            train_offline(config)
        else:
            train_online(config)
    except W4SError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; every finished iteration is on disk")


if __name__ == "__main__":
    main()
