"""The designers of a comparison: how each is made, what it is called in tables, and what the study does with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from w4s_gym.algos.base import Algorithm
from w4s_gym.algos.best_of_m import BestOfM
from w4s_gym.algos.policies.base import Policy
from w4s_gym.errors import ConfigError
from w4s_gym.options import from_fields, near, refuse_unknown
from w4s_gym.plugins import announced, is_plugin, load_announced, load_plugin


@dataclass(frozen=True)
class Setup:
    """What a designer may be made of; a user's algorithm takes what its constructor names."""

    policy: Policy | None
    """The meta-agent; None for designers that have none."""
    candidates: int
    """Candidates a turn (m)."""
    run: str
    """`<designer>/<seed>`."""
    seed: int
    tokens_per_item: float | None = None
    """Executor tokens that the workflow found by another designer spends on an item."""
    options: dict[str, Any] = field(default_factory=dict)
    """The designer's own options."""

    @property
    def meta_agent(self) -> Policy:
        """The meta-agent of a designer that needs one."""
        assert self.policy is not None
        return self.policy


@dataclass(frozen=True)
class Designer:
    """A designer that can be compared."""

    label: str
    """Name in tables."""
    make: Callable[[Setup], Algorithm]
    needs_policy: bool = True
    meta_agent: bool = False
    """It is a meta-agent that is asked for designs at evaluation; the others only have the result of their search."""
    trains: bool = False
    """It changes the policy's weights, so the policy must be trainable, and training has a price."""
    reference: bool = False
    """It searches nothing: the best workflow that everybody starts from, which the others are measured against."""
    baseline: bool = False
    """The meta-agent before training: what learning gains is the distance from it."""
    measures: int | None = None
    """Workflows that it measures; None for those that go on until the budget is spent."""
    matches_tokens: bool = False
    """It is given as many executor tokens as another designer's workflow spends, so it runs after the others."""
    leads: bool = False
    """The method under study: if it takes part, it is the one whose tokens are matched."""
    against: tuple[str, ...] = ()
    """Designers that it is compared with, paired over items."""
    settings: str = ""
    """`module:Class` of its settings in `w4s_gym.algos`; empty for those that take no options, or check their own."""
    policy: str = ""
    """Its meta-agent, where that is not the one of the comparison: it brings its own options, too."""
    package: str = ""
    """The package that it is part of, and the extra of the same name; a study without it skips the designer."""
    check: Callable[[Mapping[str, Any]], object] | None = None
    """Refuses options that a user's algorithm does not take."""
    published_label: str = ""
    """Name in the tables of the publication, where it is another one."""

    @property
    def is_installed(self) -> bool:
        """Whether the package that it is part of is there."""
        return not self.package or find_spec(self.package) is not None

    def check_options(self, options: Mapping[str, Any], name: str) -> None:
        """Refuse options that it does not know.

        Raises:
            ConfigError: there is no such option, or its value cannot be used; the message says which are near.
        """
        if self.settings:
            module, _, kind = self.settings.partition(":")
            from_fields(getattr(import_module(f"w4s_gym.algos.{module}"), kind)(), options, f"--algo-options {name}")
        elif self.check is not None:
            self.check(options)
        elif options:
            raise ConfigError(f"{name} takes no options; got {', '.join(options)}")


def _untrained(setup: Setup) -> Algorithm:
    from w4s_gym.algos.best_of_m import Untrained

    return _best_of_m(Untrained, setup)


def _sft(setup: Setup) -> Algorithm:
    from w4s_gym.algos.sft import SFT

    return _best_of_m(SFT, setup)


def _rlao(setup: Setup) -> Algorithm:
    from w4s_gym.algos.rlao import RLAO

    return _best_of_m(RLAO, setup)


def _group_rlao(setup: Setup) -> Algorithm:
    from w4s_gym.algos.group_rlao import GroupRLAO

    return _best_of_m(GroupRLAO, setup)


def _grpo(setup: Setup) -> Algorithm:
    from w4s_gym.algos.grpo import GRPO

    return _best_of_m(GRPO, setup)


def _best_of_m(kind: type[BestOfM], setup: Setup) -> Algorithm:
    return kind.of_options(setup.meta_agent, {"candidates": setup.candidates, **setup.options}, setup.run)


def _adas(setup: Setup) -> Algorithm:
    from w4s_gym.algos.adas import Adas, AdasConfig

    return Adas(setup.meta_agent, from_fields(AdasConfig(), setup.options, "adas"), setup.run)


def _aflow(setup: Setup) -> Algorithm:
    from w4s_gym.algos.aflow import AFlow, AFlowConfig

    return AFlow(setup.meta_agent, from_fields(AFlowConfig(), setup.options, "aflow"), setup.run)


def _gepa(setup: Setup) -> Algorithm:
    from w4s_gym.algos.gepa import GEPA, GEPAConfig

    return GEPA(setup.meta_agent, from_fields(GEPAConfig(), setup.options, "gepa"), setup.run)


def _seed(setup: Setup) -> Algorithm:
    from w4s_gym.algos.baselines import SeedWorkflows

    return SeedWorkflows()


def _direct(setup: Setup) -> Algorithm:
    from w4s_gym.algos.baselines import Direct

    return Direct()


def _cot_sc(setup: Setup) -> Algorithm:
    from w4s_gym.algos.baselines import CotSC, CotSCConfig

    return CotSC(from_fields(CotSCConfig(setup.tokens_per_item), setup.options, "cot_sc"))


def _random_edits(setup: Setup) -> Algorithm:
    from w4s_gym.algos.baselines import RandomEdits, RandomEditsConfig

    return RandomEdits(from_fields(RandomEditsConfig(setup.candidates), setup.options, "random_edits"))


DESIGNERS: dict[str, Designer] = {
    "untrained": Designer("untrained", _untrained, meta_agent=True, baseline=True, settings="best_of_m:BestOfMConfig"),
    "seed": Designer("best seed", _seed, needs_policy=False, reference=True, measures=3),
    "sft": Designer("SFT", _sft, meta_agent=True, trains=True, against=("untrained",), settings="sft:SFTConfig"),
    "rlao": Designer(
        "RLAO", _rlao, meta_agent=True, trains=True, leads=True, against=("sft", "untrained", "grpo"),
        published_label="W4S (RLAO)", settings="rlao:RLAOConfig",
    ),
    "grpo": Designer(
        "GRPO", _grpo, meta_agent=True, trains=True, against=("sft", "untrained"),
        settings="grpo:GRPOConfig",
    ),
    "adas": Designer("ADAS", _adas, settings="adas:AdasConfig"),
    "aflow": Designer("AFlow", _aflow, settings="aflow:AFlowConfig"),
    "cot_sc": Designer(
        "CoT-SC", _cot_sc, needs_policy=False, measures=5, matches_tokens=True,
        settings="baselines:CotSCConfig",
    ),
    "random_edits": Designer("random edits", _random_edits, needs_policy=False, settings="baselines:RandomEditsConfig"),
    "direct": Designer("asked directly", _direct, needs_policy=False, measures=1),
    "gepa": Designer("GEPA", _gepa, settings="gepa:GEPAConfig", package="gepa"),
    "group_rlao": Designer(
        "group RLAO", _group_rlao, meta_agent=True, trains=True, against=("sft", "untrained", "rlao", "grpo"),
        settings="group_rlao:GroupRLAOConfig",
    ),
}  # fmt: skip
"""Name on the command line -> designer, in the order of the tables."""


TRAINED = "trained:"
"""`trained:<folder>` is a meta-agent that was trained before, as it is: it plays on without learning."""


def _trained(name: str) -> Designer:
    folder = Path(name.removeprefix(TRAINED))
    kept = [part for part in folder.parts if part not in ("state", "policy", "cells", "runs", "/", "..")]
    label = f"trained {'/'.join(kept[-2:]) or folder}"
    others = ("untrained", "sft", "rlao", "group_rlao", "grpo")
    return replace(DESIGNERS["untrained"], label=label, baseline=False, policy=name, against=others)


@cache
def find_designer(name: str) -> Designer:
    """Return the designer of this name, or the one that `file.py:ClassName` or an entry point describes.

    `trained:<folder>` is a meta-agent that an earlier run trained.

    The constructor of the user's class is given what it names: `policy`, `candidates`, `run`, `seed`,
    `tokens_per_item`, and the options of its own. An argument `config` whose default is a dataclass takes the options
    as its fields.

    Raises:
        ConfigError: there is none; the message lists the known ones.
    """
    if name in DESIGNERS:
        return DESIGNERS[name]
    if name.startswith(TRAINED):
        return _trained(name)
    if not is_plugin(name) and name not in announced("algorithms"):
        known = (*DESIGNERS, *announced("algorithms"))
        raise ConfigError(
            f"expected designers among {', '.join(known)}, `trained:<folder>` or `file.py:ClassName`; "
            f"got {name!r}{near(name, known)}"
        )
    return _own(name)


def _own(name: str) -> Designer:
    found = _algorithm_class(name)
    parameters = inspect.signature(found).parameters
    facts = [name for name in ("policy", "candidates", "run", "seed", "tokens_per_item") if name in parameters]
    config = parameters["config"].default if "config" in parameters else None

    def check(options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options as arguments of the constructor."""
        if is_dataclass(config) and not isinstance(config, type):
            return {"config": from_fields(config, options, f"--algo-options {name}")}
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            refuse_unknown(options, parameters, f"--algo-options {name}", "options")
        return dict(options)

    def make(setup: Setup) -> Algorithm:
        return found(**{**{name: getattr(setup, name) for name in facts}, **check(setup.options)})

    return Designer(found.name, make, needs_policy="policy" in facts, check=check)


def _algorithm_class(spec: str) -> type[Any]:
    plugin = is_plugin(spec)
    found = load_plugin(spec, "a subclass of Algorithm") if plugin else load_announced("algorithms", spec)
    if not (inspect.isclass(found) and issubclass(found, Algorithm)):
        raise ConfigError(f"expected {spec} to be a subclass of Algorithm; got {found!r:.80}")
    return found
