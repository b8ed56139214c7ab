"""One cell of a study: one designer with one seed, from training to the test.

A cell is a pure function of the configuration, the designer and the seed (and, for CoT-SC, of another designer's
result). Its result is plain JSON data; wall-clock times stand apart from the rest.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from w4s_gym.algos.base import Algorithm
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.policies.settings import trained_folder
from w4s_gym.errors import ConfigError
from w4s_gym.options import refuse_unknown
from w4s_gym.room import NoRoomWarning
from w4s_gym.study import environment
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.design import design, longest
from w4s_gym.study.designers import DESIGNERS, TRAINED, Designer, Setup, find_designer
from w4s_gym.study.environment import Workspace
from w4s_gym.study.final_test import FinalTest
from w4s_gym.study.notices import Notify, Teller
from w4s_gym.study.training import Found, Trained, train

TRAINING_SHARE = 0.6
"""Share of a cell's dollars that training or search may spend; the rest is for evaluation."""


Key = tuple[str, str, int]
"""(variant, designer, seed): what tells cells apart in the journal."""


def cell_name(variant: str, algo: str, seed: int) -> str:
    """Name of a cell for people."""
    designer = algo if algo.startswith(TRAINED) else Path(algo).name
    return "/".join(part for part in (variant, designer, str(seed)) if part)


def cell_folder(run: Path, key: Key) -> Path:
    """Folder of a cell in a run folder."""
    return run / "cells" / cell_name(*key).replace("/", "-").replace(":", "-")


@dataclass(frozen=True)
class Part:
    """An environment of a cell, with its own share of the cell's dollars."""

    config: CompareConfig
    share: float
    trains: bool
    """For training or search; else for evaluation."""


@dataclass(frozen=True)
class Cell:
    """A designer with a seed."""

    config: CompareConfig
    algo: str
    """Name of the designer."""
    seed: int
    variant: str = ""
    """Name of the setting, where a study has several."""
    tokens_per_item: float | None = None
    """For a designer that matches another's tokens: how many an item."""

    @property
    def designer(self) -> Designer:
        """The designer."""
        return find_designer(self.algo)

    @property
    def configs(self) -> tuple[CompareConfig, ...]:
        """One configuration for each benchmark that the cell runs on."""
        return (self.config,)

    @property
    def designs_for(self) -> tuple[CompareConfig, ...]:
        """One configuration for each benchmark that is designed for and tested."""
        return (self.config,)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The environments that it opens."""
        return Part(self.config, TRAINING_SHARE, True), Part(self.config, 1 - TRAINING_SHARE, False)

    @property
    def key(self) -> Key:
        """What tells cells apart in the journal."""
        return (self.variant, self.algo, self.seed)

    @property
    def name(self) -> str:
        """Name for people."""
        return cell_name(*self.key)

    def folder(self, run: Path) -> Path:
        """Return its folder in the run folder: trajectories and the final state of the algorithm."""
        return cell_folder(run, self.key)

    def check(self) -> None:
        """Check what can be known before anything is run.

        Raises:
            ConfigError: the designer or an option of it does not exist, a package lacks, or the meta-agent cannot be
                trained.
        """
        refuse_unknown(
            self.config.algo_options, {**DESIGNERS, **dict.fromkeys(self.config.algos)}, "--algo-options", "designers"
        )
        policy = self.with_policy.policy
        if self.designer.needs_policy and policy.partition(":")[0] in ("tiny", "hf"):
            lacking = [name for name in ("torch", "transformers") if find_spec(name) is None]
            if lacking:
                raise ConfigError(
                    f"{self.algo} needs the meta-agent {policy}, and that {' and '.join(lacking)}; install "
                    "them with `pip install 'w4s-gym[train]'`, or compare --algos seed random_edits cot_sc"
                )
        self.designer.check_options(self.config.options_of(self.algo), self.algo)
        if self.designer.trains and self.config.policy.startswith("openai:"):
            names = ", ".join(algo for algo in self.config.algos if not find_designer(algo).trains)
            raise ConfigError(
                f"expected a policy with weights to train; {self.config.policy} can be used by --algos {names}"
            )

    def after(self, done: Mapping[Key, dict[str, Any]]) -> Self:
        """Return the cell with what it needs of other cells' results."""
        return replace(self, tokens_per_item=self._tokens_to_match(done)) if self.designer.matches_tokens else self

    def _tokens_to_match(self, done: Mapping[Key, dict[str, Any]]) -> float | None:
        """Tokens an item of the leading method's workflow, else of the best that was found with this seed."""
        found = {
            algo: result["search"]
            for (variant, algo, seed), result in done.items()
            if (variant, seed) == (self.variant, self.seed) and algo in self.config.algos
        }
        designers = {algo: find_designer(algo) for algo in sorted(found)}  # not the order in which they finished
        rivals = [algo for algo, d in designers.items() if not d.reference and not d.matches_tokens]
        leading = [algo for algo in rivals if designers[algo].leads]
        best = max(
            leading or rivals, key=lambda algo: found[algo]["validation"] - found[algo].get("cost", 0.0), default=None
        )
        return None if best is None else found[best]["tokens_per_item"]

    def run(self, run: Path, notify: Notify) -> dict[str, Any]:
        """Train or search, then measure and test.

        Args:
            run: the run folder.
            notify: told what is being done.

        Returns:
            `curve`, `training`, `racing`, `measured`, `written`, what was found, `usage`, `seconds`.
        """
        start = time.monotonic()
        with Teller(notify) as teller, warnings.catch_warnings():
            warnings.simplefilter("ignore", NoRoomWarning)  # the report says it
            space = Workspace(self.config, self.seed, self.folder(run), run / "replies", teller)
            policy, algorithm = self._make(space)
            trained, found = self._work(space, policy, algorithm)
            total = time.monotonic() - start
            return {
                **trained.record(),
                **found,
                "usage": asdict(teller.usage),
                # Apart from everything that must be the same in every run.
                "seconds": {
                    "search": trained.seconds,
                    "learning": trained.learning_seconds,
                    "meta_agent": space.meter.written.seconds,
                    "evaluation": total - trained.seconds,
                    "all": total,
                },
            }

    def _work(self, space: Workspace, policy: Policy | None, algorithm: Algorithm) -> tuple[Trained, dict[str, Any]]:
        """Train or search, then measure and test.

        Returns:
            What training left, and `search`, `design` for meta-agents, and `workflows`.
        """
        env = space.environment(policy, self.config.turns, TRAINING_SHARE, racing=self.config.racing)
        try:
            trained = train(space, algorithm, [env], self.config.budget)
        finally:
            env.close()
        meta_agent = policy if self.designer.meta_agent else None
        return trained, measure(space, meta_agent, trained.best, 1 - TRAINING_SHARE)

    @property
    def with_policy(self) -> CompareConfig:
        """The configuration with the designer's own meta-agent, if it has one."""
        if not self.designer.policy:
            return self.config
        folder = trained_folder(self.designer.policy.removeprefix(TRAINED))
        return replace(self.config, policy=f"hf:{folder}", policy_options={})

    def _make(self, space: Workspace) -> tuple[Policy | None, Algorithm]:
        for left in ("rows.jsonl", "evaluations*.jsonl"):  # by an earlier attempt at this cell, which was interrupted
            for file in space.folder.glob(left):
                file.unlink()
        space.tell("loading", 0.0)
        policy = environment.load_policy(self.with_policy) if self.designer.needs_policy else None
        if policy is not None:
            space.meter.attach(policy)
        options = self.config.options_of(self.algo)
        run = f"{self.algo}/{self.seed}"
        setup = Setup(policy, self.config.candidates, run, self.seed, self.tokens_per_item, options)
        return policy, self.designer.make(setup)


def measure(space: Workspace, meta_agent: Policy | None, found: Found | None, share: float) -> dict[str, Any]:
    """Measure the result of a search, and let a meta-agent design at the small budget; then test.

    Args:
        space: the cell; the `env` of its configuration is the benchmark that is designed for.
        meta_agent: asked for as many designs as the configuration says; None for designers that only search.
        found: best workflow of the search, if there was a search.
        share: share of the cell's dollars that this may cost, if there is a limit.

    Returns:
        `search` and `design` where they apply, and `workflows`.
    """
    env = space.environment(meta_agent, longest(space), share)
    try:
        final = FinalTest(env, space.seed, space.config.one_test_draw)
        result: dict[str, Any] = {}
        if found is not None:
            result["search"] = final.search(found)
        if meta_agent is not None and space.config.design_episodes:
            result["design"] = design(space, meta_agent, final)
        return {**result, "workflows": final.workflows}
    finally:
        env.close()


def comparison_cells(config: CompareConfig, variant: str = "") -> list[Cell]:
    """All cells of a comparison; seed by seed, so that an interrupted run has whole comparisons.

    Of a seed those that train come first: they take longest, and the last to run should be short.
    """
    longest_first = sorted(config.algos, key=lambda algo: not find_designer(algo).trains)
    return [Cell(config, algo, seed, variant) for seed in config.seed_numbers for algo in longest_first]
