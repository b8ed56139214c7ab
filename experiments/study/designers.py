"""The designers of a comparison: how each is made, and what it is called in tables."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from w4s_gym.algos.base import Algorithm
from w4s_gym.algos.best_of_m import BestOfM
from w4s_gym.algos.policies.base import Policy
from w4s_gym.errors import ConfigError
from w4s_gym.options import from_fields


@dataclass(frozen=True)
class Setup:
    """What a designer is made of."""

    policy: Policy | None
    """The meta-agent; None for designers that have none."""
    candidates: int
    """Candidates a turn (m)."""
    run: str
    """`<designer>/<seed>`."""
    seed: int
    tokens_per_item: float | None
    """Executor tokens that the workflow found by another designer spends on an item."""
    options: dict[str, Any]
    """The designer's own options."""


@dataclass(frozen=True)
class Designer:
    """A designer that can be compared."""

    label: str
    """Name in tables."""
    make: Callable[[Setup], Algorithm]
    meta_agent: bool = False
    """It is a meta-agent that is asked for designs at evaluation; the others only have the result of their search."""
    needs_policy: bool = True
    trains: bool = False
    """It changes the policy's weights, so the policy must be trainable."""


def _untrained(setup: Setup) -> Algorithm:
    from w4s_gym.algos.best_of_m import Untrained

    return _best_of_m(Untrained, setup)


def _sft(setup: Setup) -> Algorithm:
    from w4s_gym.algos.sft import SFT

    return _best_of_m(SFT, setup)


def _rlao(setup: Setup) -> Algorithm:
    from w4s_gym.algos.rlao import RLAO

    return _best_of_m(RLAO, setup)


def _grpo(setup: Setup) -> Algorithm:
    from w4s_gym.algos.grpo import GRPO

    return _best_of_m(GRPO, setup)


def _best_of_m(kind: type[BestOfM], setup: Setup) -> Algorithm:
    assert setup.policy is not None
    return kind.of_options(setup.policy, {"candidates": setup.candidates, **setup.options}, setup.run)


def _adas(setup: Setup) -> Algorithm:
    from w4s_gym.algos.adas import Adas, AdasConfig

    assert setup.policy is not None
    return Adas(setup.policy, from_fields(AdasConfig(), setup.options, "adas"), setup.run)


def _aflow(setup: Setup) -> Algorithm:
    from w4s_gym.algos.aflow import AFlow, AFlowConfig

    assert setup.policy is not None
    return AFlow(setup.policy, from_fields(AFlowConfig(), setup.options, "aflow"), setup.run)


def _seed(setup: Setup) -> Algorithm:
    from w4s_gym.algos.baselines import SeedWorkflows

    if setup.options:
        raise ConfigError(f"seed takes no options; got {', '.join(setup.options)}")
    return SeedWorkflows()


def _cot_sc(setup: Setup) -> Algorithm:
    from w4s_gym.algos.baselines import CotSC, CotSCConfig

    return CotSC(from_fields(CotSCConfig(setup.tokens_per_item), setup.options, "cot_sc"))


def _random_edits(setup: Setup) -> Algorithm:
    from w4s_gym.algos.baselines import RandomEdits, RandomEditsConfig

    return RandomEdits(from_fields(RandomEditsConfig(setup.candidates), setup.options, "random_edits"))


DESIGNERS: dict[str, Designer] = {
    "untrained": Designer("untrained", _untrained, meta_agent=True),
    "seed": Designer("best seed", _seed, needs_policy=False),
    "sft": Designer("SFT", _sft, meta_agent=True, trains=True),
    "rlao": Designer("RLAO", _rlao, meta_agent=True, trains=True),
    "grpo": Designer("GRPO", _grpo, meta_agent=True, trains=True),
    "adas": Designer("ADAS", _adas),
    "aflow": Designer("AFlow", _aflow),
    "cot_sc": Designer("CoT-SC", _cot_sc, needs_policy=False),
    "random_edits": Designer("random edits", _random_edits, needs_policy=False),
}
"""Name on the command line -> designer, in the order of the tables."""


def find_designer(name: str) -> Designer:
    """Return the designer of this name, or the one that `file.py:ClassName` describes.

    The class is made as `ClassName(policy, **options)`, or `ClassName(**options)` if it takes no argument `policy`.

    Raises:
        ConfigError: there is none; the message lists the known ones.
    """
    if name in DESIGNERS:
        return DESIGNERS[name]
    file, _, attribute = name.rpartition(":")
    if not file.endswith(".py") or not Path(file).is_file():
        raise ConfigError(f"expected designers among {', '.join(DESIGNERS)}, or `file.py:ClassName`; got {name!r}")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = vars(module).get(attribute)
    if not (inspect.isclass(found) and issubclass(found, Algorithm)):
        raise ConfigError(f"expected a subclass of Algorithm called {attribute!r} in {file}; found {found!r}")
    needs_policy = "policy" in inspect.signature(found).parameters

    def make(setup: Setup) -> Algorithm:
        return found(setup.policy, **setup.options) if needs_policy else found(**setup.options)

    return Designer(found.name, make, needs_policy=needs_policy)
