"""Configuration of a comparison: one frozen dataclass, from which the command line is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

import tyro

from w4s_gym.algos import earlier_options
from w4s_gym.command_line import Options
from w4s_gym.errors import ConfigError
from w4s_gym.executor_pool import Pool, pool_name, read_pool
from w4s_gym.options import json_object, near
from w4s_gym.study.track import TrackerName, chosen_tracker


@dataclass(frozen=True)
class CompareConfig:
    """Train and compare designers under the same budget of executor calls."""

    env: str = "W4S-GSMSymbolic-v0"
    """Environment id; `--env help` lists them."""
    executor: str = "sim:gpt-3.5-turbo"
    """What the workflows call: `sim:<profile>`, `openai:<model>` or `local:<model>`. Several to choose from are named
    by `--env-options '{"executors": {"small": ..., "large": ...}}'` instead. GPT-3.5-Turbo is what the
    published training runs used; stronger models solve nearly all of GSMSymbolic whatever the workflow does."""
    policy: str = "tiny"
    """The meta-agent: `tiny`, `hf:<name or folder>` or `openai:<model>` (cannot be trained)."""
    algos: tuple[str, ...] = ("untrained", "seed", "sft", "rlao", "grpo")
    """Designers: untrained, seed, sft, rlao, group_rlao, grpo, adas, aflow, gepa, cot_sc, random_edits, direct,
    `trained:<folder>` (a meta-agent that an earlier run trained), `file.py:ClassName`, or what a package announces."""
    seeds: int = 3
    """Number of seeds of every designer."""
    first_seed: int = 0
    """The first of them; the others follow it. Settings are chosen on seeds that are not reported."""
    budget: int = 4_000
    """Executor calls that every designer may spend on training or search, cached ones included."""
    iterations: int = 0
    """Most iterations of training or search, whatever the budget; 0 means no limit."""
    racing: bool = True
    """End the validation of candidates that can hardly earn a reward (`w4s_gym.racing`) while training."""
    candidates: int = 5
    """Candidates a turn while training and searching (m)."""
    turns: int = 2
    """Turns of a training episode."""
    one_draw: bool = False
    """Measure all validation of a seed on one draw of the executor's randomness, the same for all designers: a workflow
    that comes again, in a later episode or from another designer, is not measured again, though its calls count. A
    lucky draw stays lucky. The final test has a draw of its own either way. A `draw` in `--env-options` comes first."""
    one_test_draw: tyro.conf.Suppress[bool] = True
    """Test all cells of all seeds on one draw: an item and its draw are one unit, intervals over items hold the luck of
    both, and a workflow that many cells design is paid once. Runs from before this was so go on with one a seed."""
    design_turns: int = 2
    """Turns of the design budget that every meta-agent gets at evaluation."""
    design_candidates: int = 1
    """Candidates a turn of the design budget."""
    design_episodes: int = 6
    """Independent design episodes of every meta-agent and seed; 0 tests the result of training or search alone."""
    curve_turns: int = 2
    """Longest design budget of the curve over turns (0: no curve)."""
    validation_size: int = 40
    """Validation items."""
    test_size: int = 100
    """Test items (at most)."""
    feedback_items: int | None = None
    """Items that failures are shown from, beside those that pay; by default a quarter as many as validation items. 0:
    failures are validation items, as published."""
    cache: Literal["off", "read", "write"] = "write"
    """Replies of a real executor: `write` keeps and uses them (no cell pays what another one has asked, nor an
    interrupted one what it has), `read` only uses them, `off` asks anew. They lie in `replies/` of the run folder, or
    in the `cache_folder` of `--env-options '{"executor_config": {...}}'`."""
    policy_options: Options = field(default_factory=dict)
    """Options of the meta-agent, for instance `{"lora_rank": 16}`."""
    env_options: Options = field(default_factory=dict)
    """Further options of `gym.make`."""
    algo_options: Options = field(default_factory=dict)
    """Options of algorithms by name, for instance `{"rlao": {"tau": 0.2}}`."""
    max_dollars: float = 0.0
    """Most dollars that executor calls may cost, shared out evenly among the cells; 0 means no limit."""
    workers: int = 2
    """Processes that share the work; has no influence on the numbers."""
    cluster: str = ""
    """`ray` runs the cells on the Ray cluster of this machine, or on one started here for the run; `ray:<address>` on
    another. `--workers` then counts the cells that run there at once. Has no influence on the numbers."""
    actors: int = 0
    """With `--cluster`: environment actors of each cell, which run its items; 0 runs them in the cell's process."""
    gpus: float = 0.0
    """With `--cluster`: GPUs of each cell."""
    run_dir: Path | None = None
    """Run folder; by default a new one below `runs/`."""
    resume: bool = False
    """Go on with the run in `run_dir`, or with the latest run that agrees with the other options. Seeds, designers and
    dollars may be added; all else is as the run was started."""
    report: Path | None = None
    """Only make tables and plots of this run folder again; nothing is run."""
    plan: bool = False
    """Only print what the run would cost."""
    track: bool = False
    """Track the run live: one run of the tracker for each designer and seed."""
    tracker: TrackerName = "wandb"
    """With `--track`: `wandb` (Weights & Biases; offline when there is no key) or `trackio`. The project is
    `w4s-gym`, or that of the variable `WANDB_PROJECT`."""
    given: tyro.conf.Suppress[frozenset[str] | None] = field(default=None, compare=False)
    """Names of the options that the command line or its file sets, which a run that goes on must agree with; None:
    those that differ from the defaults."""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: an option has a value that cannot be used.
        """
        for name in ("seeds", "budget", "candidates", "turns", "design_turns", "design_candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {option(name)} of at least 1; got {getattr(self, name)}")
        for name in ("first_seed", "workers", "curve_turns", "iterations", "design_episodes", "actors", "gpus"):
            if getattr(self, name) < 0:
                raise ConfigError(f"expected {option(name)} of at least 0; got {getattr(self, name)}")
        chosen_tracker(self.track, self.tracker)
        kind, _, address = self.cluster.partition(":")
        if self.cluster and (kind != "ray" or (":" in self.cluster and not address)):
            raise ConfigError(f"expected --cluster ray or ray:<address>; got {self.cluster!r}{near(kind, ['ray'])}")
        if not self.cluster and (self.actors or self.gpus):
            raise ConfigError("expected --cluster ray or ray:<address> beside --actors or --gpus")
        if self.max_dollars < 0:
            raise ConfigError(f"expected --max-dollars of at least 0; got {self.max_dollars}")
        if not self.algos or isinstance(self.algos, str):
            raise ConfigError(f"expected a tuple of at least one designer in --algos; got {self.algos!r}")
        for name in _OPTIONS:
            if not isinstance(getattr(self, name), dict):
                raise ConfigError(f"expected {option(name)} to be a dict; got {getattr(self, name)!r}")
        for algo, options in self.algo_options.items():
            if not isinstance(options, dict):
                raise ConfigError(f"expected --algo-options to hold a dict for each designer; {algo} has {options!r}")

    @property
    def seed_numbers(self) -> range:
        """The seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)

    @property
    def told_seeds(self) -> str:
        """The seeds in words."""
        return f"{self.seeds} seeds{f' from {self.first_seed}' if self.first_seed else ''}"

    @property
    def tracked_by(self) -> TrackerName | None:
        """The tracker, if there is one."""
        return chosen_tracker(self.track, self.tracker)

    @property
    def measured(self) -> dict[str, Any]:
        """The fields that the numbers depend on, as plain JSON data: what a run folder keeps."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in NOT_MEASURED}
        return {name: stored_value(name, value) for name, value in values.items()}

    @property
    def pool(self) -> Pool:
        """The executors that workflows choose from, if `env_options` name several; else empty."""
        given = self.env_options.get("executors")
        return read_pool(given) if given else {}

    @property
    def executor_name(self) -> str:
        """What the executor, or the pool of executors, is called in tables."""
        return pool_name(self.pool) if self.pool else self.executor

    @property
    def asks_nobody(self) -> bool:
        """Whether all executors are simulated, so that replies need not be kept."""
        specs = [member.executor for member in self.pool.values()] or [self.executor]
        return all(isinstance(spec, str) and spec.startswith("sim:") for spec in specs)

    def environment_options(self, share: float = 1.0, replies: Path | None = None) -> dict[str, Any]:
        """Options of `gym.make` but for prompt style and length of an episode.

        Args:
            share: share of a cell's dollars that the environment may spend.
            replies: folder of the reply cache; simulated executors, which cost nothing, need none.
        """
        given = dict(self.env_options)
        executor = dict(given.pop("executor_config", {}))
        if replies and self.cache != "off":
            executor = {"cache_folder": str(replies), "cache": self.cache, **executor}
        dollars = self.max_dollars / (len(self.algos) * self.seeds) * share
        if dollars:
            own = dict(given.pop("budget", {}))
            given["budget"] = {**own, "dollars": min(dollars, own.get("dollars") or dollars)}
        return {
            **({} if self.pool else {"executor": self.executor}),
            "validation_size": self.validation_size,
            "test_size": self.test_size,
            "feedback_items": self.feedback_items,
            **({"executor_config": executor} if executor else {}),
            **({"cluster": {"actors": self.actors, "address": self.cluster_address}} if self.actors else {}),
            **given,
        }

    @property
    def cluster_address(self) -> str:
        """What follows `ray:`."""
        return self.cluster.partition(":")[2]

    def options_of_policy(self) -> dict[str, Any]:
        """Options of the meta-agent."""
        return earlier_options.policy_options(self.policy_options)

    def options_of(self, algo: str) -> dict[str, Any]:
        """Options of one algorithm."""
        earlier = earlier_options.algorithm_options(algo, self.policy_options)
        return {**earlier, **self.algo_options.get(algo, {})}

    def plain(self, **changes: Any) -> CompareConfig:
        """The comparison that a study's configuration describes, without what the study adds, with some changes."""
        return CompareConfig(**{**{f.name: getattr(self, f.name) for f in fields(CompareConfig)}, **changes})

    @classmethod
    def of_run(cls, stored: Mapping[str, Any]) -> Self:
        """Read what a run folder keeps; fields that it does not have get their defaults, or what held before them."""
        known = {f.name for f in fields(cls)} - NOT_MEASURED
        stored = {"feedback_items": 0, "one_test_draw": False, **stored}
        return cls(**{name: _read(name, value) for name, value in stored.items() if name in known})

    def sets(self, name: str) -> bool:
        """Whether an option was given, rather than left at its default."""
        if self.given is not None:
            return name in self.given
        return bool(getattr(self, name) != getattr(type(self)(), name))


NOT_MEASURED = {
    "cache",
    "workers",
    "cluster",
    "actors",
    "gpus",
    "run_dir",
    "resume",
    "report",
    "plan",
    "track",
    "tracker",
    "given",
}
"""Fields that the numbers do not depend on."""
_OPTIONS = ("policy_options", "env_options", "algo_options")


def option(name: str) -> str:
    """Return the option of a field on the command line."""
    return f"--{name.replace('_', '-')}"


def stored_value(name: str, value: Any) -> Any:
    """Return the value of a field as a run folder keeps it."""
    if name in _OPTIONS:
        return json.dumps(value)
    return list(value) if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    if name in _OPTIONS:
        return json_object(option(name), value)
    return tuple(value) if isinstance(value, list) else value
