"""`w4s-gym train`: train a meta-agent, online (play, learn, repeat), or offline on trajectories that any run wrote.

Online runs write a checkpoint after each iteration and go on from it when they are started again with the same folder.
"""

from __future__ import annotations

import json
import os
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym

import w4s_gym  # noqa: F401  (registers the environments)
from w4s_gym.algos import checkpoint, earlier_options, make_policy
from w4s_gym.algos.base import Batch
from w4s_gym.algos.best_of_m import BestOfM
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.trajectory import Row, read_rows
from w4s_gym.command_line import Options
from w4s_gym.commands.opening import open_environment
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError
from w4s_gym.jsonl import mend_end, whole_lines
from w4s_gym.registration import find_env
from w4s_gym.room import NoRoomWarning, no_room
from w4s_gym.study.designers import Setup, find_designer
from w4s_gym.study.track import Card, TrackedRun, TrackerName, check_tracker, chosen_tracker, start_run
from w4s_gym.study.training import iterate, updates


@dataclass(frozen=True)
class TrainConfig:
    """Train a meta-agent."""

    env: str = "W4S-GSMSymbolic-v0"
    """Environment id, or `file.py:Name` of a benchmark of yours."""
    executor: str = "sim:gpt-3.5-turbo"
    """What the workflows call. Stronger models solve nearly all of GSMSymbolic whatever the workflow does, which leaves
    nothing to learn."""
    env_options: Options = field(default_factory=lambda: {"max_turns": 2, "validation_size": 64})
    """Options of `gym.make`."""
    policy: str = "tiny"
    """The meta-agent: `tiny`, `hf:<name or folder>`, or, with `--algo untrained`, `openai:<model>`."""
    policy_options: Options = field(default_factory=dict)
    """Options of `make_policy`."""
    algo: Literal["rlao", "group_rlao", "sft", "grpo", "untrained"] = "rlao"
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

    track: bool = False
    """Track the training live."""
    tracker: TrackerName = "wandb"
    """With `--track`: `wandb` (offline when there is no key) or `trackio`."""

    def run(self) -> int:
        """Train on rows if there are some, else play and learn."""
        self.check()
        if self.rows:
            train_offline(self)
        else:
            train_online(self)
        return 0

    def check(self) -> None:
        """Check what can be known before anything is loaded or made.

        Raises:
            ConfigError: an option cannot be used; the message names near ones.
        """
        tracker = chosen_tracker(self.track, self.tracker)
        if tracker is not None:
            check_tracker(tracker)
        find_designer(self.algo).check_options(self._algo_options(), self.algo)
        if not self.rows:
            options = {key: value for key, value in self.env_options.items() if key != "executor"}
            executor = self.env_options.get("executor", self.executor)
            open_environment(self.env, executor, options).close()

    def _algo_options(self) -> dict[str, Any]:
        return {**earlier_options.algorithm_options(self.algo, self.policy_options), **self.algo_options}

    def make_policy(self) -> Policy:
        """Make the meta-agent."""
        return make_policy(self.policy, **earlier_options.policy_options(self.policy_options))

    def make_algorithm(self, policy: Policy) -> BestOfM:
        """Make the algorithm that trains `policy`."""
        name = f"{self.algo}/{self.seed}"
        setup = Setup(policy, self.candidates, name, self.seed, options=self._algo_options())
        algorithm = find_designer(self.algo).make(setup)
        assert isinstance(algorithm, BestOfM)
        return algorithm

    def make_env(self, policy: Policy) -> WorkflowDesignEnv:
        """Make the environment with the prompt style that the meta-agent wants."""
        options = {"executor": self.executor, "prompt_style": policy.prompt_style, **self.env_options}
        env = gym.make(find_env(self.env), disable_env_checker=True, **options).unwrapped
        assert isinstance(env, WorkflowDesignEnv)
        return env


class _Tracked:
    """The run of a tracker that belongs to a run folder, if there is one; it goes on with the folder."""

    def __init__(self, config: TrainConfig, simulated: bool) -> None:
        tracker = chosen_tracker(config.track, config.tracker)
        self._run: TrackedRun | None = None
        if tracker is None:
            return
        file = config.out / "tracker.json"
        if not file.exists():
            config.out.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"id": uuid.uuid4().hex[:16]}) + "\n", encoding="utf-8")
        number = json.loads(file.read_text(encoding="utf-8"))["id"]
        options = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "rows"}
        name, group = f"{config.algo}/{config.seed}", config.out.resolve().name
        self._run = start_run(tracker, Card(config.out, number, name, group, options, simulated))

    def log(self, calls: int, figures: Mapping[str, float]) -> None:
        """Add a point of the curves, with the keys of a comparison."""
        if self._run is not None:
            self._run.log({"calls": calls, **{f"train/{name}": value for name, value in figures.items()}})

    def finish(self, summary: Mapping[str, float]) -> None:
        """End it."""
        if self._run is not None:
            self._run.finish(summary)
            print(f"tracked: {self._run.place}")


def follows(algorithm: BestOfM) -> bool:
    """Whether this is one of several processes that another one plays for; its gradient steps are taken, to the end.

    Raises:
        ConfigError: the algorithm does not train in several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return False
    from w4s_gym.algos.rlao import RLAO
    from w4s_gym.algos.team import find_team

    team = find_team()
    assert team is not None
    if not isinstance(algorithm, RLAO):
        raise ConfigError(f"expected --algo rlao, group_rlao or sft in {team.size} processes; got {algorithm.name}")
    if team.rank == 0:
        return False
    algorithm.regression.follow()
    return True


def dismiss(algorithm: BestOfM) -> None:
    """Let the processes end that follow this one."""
    regression = getattr(algorithm, "regression", None)
    if regression is not None:
        regression.dismiss()


def train_offline(config: TrainConfig) -> None:
    """Train on recorded rows."""
    rows: list[Row] = []
    for file in config.rows:
        if not file.exists():
            raise ConfigError(f"expected a file of rows; there is no {file}. Write one with --algo untrained")
        rows += read_rows(file)
    algorithm = config.make_algorithm(config.make_policy())
    if follows(algorithm):
        return
    figures = algorithm.update(Batch(rows, "", 0.0))
    algorithm.save(config.out / "state")
    dismiss(algorithm)
    tracked = _Tracked(config, any(row.simulated for row in rows))
    tracked.log(0, figures)
    tracked.finish({"rows": len(rows)})
    print(f"{len(rows)} rows: " + " ".join(f"{key} {value:.7g}" for key, value in figures.items()))
    print(f"weights: {config.out / 'state' / 'policy'}")


def train_online(config: TrainConfig) -> None:
    """Play and learn, one checkpoint per iteration."""
    policy = config.make_policy()
    algorithm = config.make_algorithm(policy)
    if follows(algorithm):
        return
    state = config.out / "state"
    checkpoint.settle(state)
    if (state / "progress.json").exists():
        algorithm.load(state)
        print(f"going on after iteration {algorithm.progress.iterations}")
    _set_unsaved_aside(config.out, algorithm)
    env = config.make_env(policy)
    warnings.simplefilter("ignore", NoRoomWarning)  # it is printed
    tracked = _Tracked(config, env.executor.simulated)
    try:
        for number in range(algorithm.progress.iterations, config.iterations):
            iteration = iterate(algorithm, env, config.seed, number, config.out / "rows.jsonl")
            if number == 0 and (full := no_room(env.seed_evaluations, env.executor.simulated)):
                print(f"warning: {full}", flush=True)
            figures = {"best": iteration.batch.best_accuracy, **iteration.figures}
            record = {
                "iteration": number,
                "simulated": env.state.card.simulated,
                "calls": env.ledger.usage.calls,
                **figures,
            }
            with (config.out / "curve.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            tracked.log(env.ledger.usage.calls, figures)
            algorithm.save(state)  # last: what stands in the files above without it is dropped when the run goes on
            told = [key for key in ("reward", "accuracy", "runnable", "best", "loss") if key in figures]
            shown = " ".join(f"{key} {figures[key]:.3g}" for key in told)
            print(f"iteration {number}: {shown}{_mark(env)}", flush=True)
        best = algorithm.progress
        print(f"best workflow, validation {best.best_accuracy:.3f}{_mark(env)}:\n{best.best_workflow}")
        if updates(_curve(config.out)) == 0:
            print(f"warning: {config.algo} made no update: no text earned a reward to learn from", flush=True)
    finally:
        best = algorithm.progress
        tracked.finish({"validation/best": best.best_accuracy})
        env.close()
    dismiss(algorithm)


def _curve(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for _, line in whole_lines(out / "curve.jsonl", unbroken=True)]


def _mark(env: WorkflowDesignEnv) -> str:
    return " (simulated)" if env.executor.simulated else ""


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
