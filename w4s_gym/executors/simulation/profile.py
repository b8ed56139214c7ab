"""The numbers of a simulated executor: a JSON file, read into frozen dataclasses. Unknown keys are errors."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from w4s_gym.benchmark import AnswerKind
from w4s_gym.errors import ConfigError, UnknownExecutor
from w4s_gym.options import checked, from_fields, near, refuse_unknown
from w4s_gym.paths import user_path

PROFILE_FOLDER = Path(__file__).parent.parent / "profiles"


@dataclass(frozen=True)
class Price:
    """US dollars."""

    prompt_per_million: float = 0.0
    completion_per_million: float = 0.0


@dataclass(frozen=True)
class Latency:
    """Speed of the modelled endpoint."""

    first_token_seconds: float = 0.3
    prompt_tokens_per_second: float = 5000.0
    tokens_per_second: float = 60.0
    spread: float = 0.3
    """Standard deviation of the logarithm of a call's time."""
    sleep: float = 0.0
    """Fraction of the modelled time that a call really waits (0: answers at once)."""


@dataclass(frozen=True)
class Faults:
    """How often a reply is unusable or a program does not run, at temperature 0 to 1; hotter sampling adds to it."""

    malformed: float = 0.01
    """A JSON reply that does not parse or lacks a key."""
    empty: float = 0.001
    """A reply without text."""
    bug: float = 0.03
    """A generated program that raises."""


@dataclass(frozen=True)
class Domain:
    """Abilities and habits on one kind of task. Abilities are on the scale of item difficulty (standard normal)."""

    understand: float = 1.0
    """Ability to read the question as it is meant."""
    direct: float = -0.5
    """Ability to find the answer when the reply starts with the answer."""
    prose: float = 0.3
    """... in a plain-text reply."""
    brief: float = 0.0
    """How far a plain-text reply that shall hold the answer alone answers at once: 0 it has the ability `prose` all the
    same, 1 it has `direct`. Small models do as they are told."""
    steps: float = 0.3
    """... when a reasoning slot stands before the answer."""
    code: float = 1.0
    """... by writing a program that the workflow executes. On code benchmarks: not used."""
    expression: float = 1.0
    """... by writing an arithmetic expression that the workflow executes."""
    json: float = 0.0
    """Loss of ability in a reply under JSON keys, whatever it holds: small models lose the thread there."""
    noise: float = 0.4
    """Standard deviation of one sample's ability around the item's, at temperature 1. Small: samples agree."""
    focus: float = 0.6
    """Share of the wrong answers that are the item's systematic one."""
    restate: float = 0.1
    """Gain in understanding when a restatement of the question stands in the context."""
    principle: float = 0.0
    """Gain in ability when principles were written down first."""
    persona: float = 0.0
    """... when the system prompt assigns the expert that an earlier call named for this question."""
    perspectives: float = 0.0
    """... when several voices (slots of reasoning or personas) stand before the answer."""
    shots: float = 0.05
    """... when worked examples stand before the question as earlier turns."""
    recognise: float = 0.5
    """Power to tell the right one among answers shown: its log-odds on an item of average difficulty."""
    conform: float = 0.7
    """Weight of an answer's support among the answers shown (log-odds per unit of log(1 + count))."""
    recent: float = 0.5
    """Weight of the answer that is shown last, where several are shown."""
    discuss: float = 0.1
    """Gain in ability when several solutions are shown, so that the question is looked at again."""
    distract: float = 0.1
    """Loss of ability for each further answer shown that contradicts the first."""
    strict: float = -0.8
    """Readiness to call a shown answer wrong."""
    waver: float = 1.5
    """Loss of an answer's weight once a review called it wrong, and gain once one called it right."""
    novelty: float = 4.0
    """Loss of a shown answer's weight when something different is asked for, or when its program failed a test."""
    repair: float = 0.4
    """Gain in programming when a program and the error it raised, or the test it failed, are shown; half of it in
    understanding, because a failing example tells what was meant."""


@dataclass(frozen=True)
class Profile:
    """Everything that distinguishes one simulated executor from another."""

    name: str
    description: str
    provenance: tuple[str, ...]
    """Where the numbers come from, one statement each."""
    seed: str
    """Text that the difficulty of items is hashed with. Two profiles with the same seed find the same items hard."""
    price: Price
    latency: Latency
    faults: Faults
    languages: Mapping[str, float]
    """Loss of understanding by `Item.group`, for groups that are languages; others lose nothing."""
    domains: Mapping[str, Domain] = field(default_factory=dict)
    """By benchmark, and by kind of answer for all other benchmarks."""

    def domain_of(self, benchmark: str, kind: AnswerKind) -> Domain:
        """Return the domain of a benchmark's items, by the benchmark's name, else by their kind of answer.

        A profile that has other domains only is used with a warning.
        """
        found = self.domains.get(benchmark) or self.domains.get(kind)
        if found is None and self.domains:
            warnings.warn(
                f"sim:{self.name} was made for {', '.join(self.domains)}; what it answers to {benchmark or kind} items "
                "comes from the simulator's defaults, which are no model's",
                stacklevel=2,
            )
        return found or Domain()


def load_profile(name_or_path: str) -> Profile:
    """Load a shipped profile by name, or a user's own by path.

    Raises:
        UnknownExecutor: neither a shipped profile nor a file.
        ConfigError: the file is no valid profile.
    """
    shipped = sorted(p.stem for p in PROFILE_FOLDER.glob("*.json"))
    path = PROFILE_FOLDER / f"{name_or_path}.json" if name_or_path in shipped else user_path(name_or_path)
    if not path.is_file():
        raise UnknownExecutor(
            f"expected 'sim:' and one of {', '.join(shipped)} or the path of a profile file; got {name_or_path!r}"
            f"{near(name_or_path, shipped)}"
        )
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _load(path: Path, changed: int) -> Profile:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ConfigError(f"expected a JSON file in profile {path}; got: {error}") from error
    return profile_from_dict(data, str(path))


def profile_from_dict(data: Mapping[str, Any], where: str = "profile") -> Profile:
    """Build a profile from plain data.

    Args:
        data: the JSON object; `domains` inherit what they do not set from `defaults`, then from the class defaults.
        where: name for error messages.

    Raises:
        ConfigError: an unknown key, a missing key or a value of the wrong type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected an object; got {type(data).__name__}")
    refuse_unknown(data, [*(f.name for f in fields(Profile)), "defaults"], where)
    for key in ("name", "seed"):
        if not isinstance(data.get(key), str):
            raise ConfigError(f"expected a text under {key!r} in {where}; got {data.get(key)!r}")
    base = from_fields(Domain(), data.get("defaults"), f"{where}: defaults")
    domains = checked(data.get("domains", {}), Mapping[str, Mapping[str, float]], f"{where}: domains")
    return Profile(
        name=data["name"],
        description=data.get("description", ""),
        provenance=tuple(data.get("provenance", ())),
        seed=data["seed"],
        price=from_fields(Price(), data.get("price"), f"{where}: price"),
        latency=from_fields(Latency(), data.get("latency"), f"{where}: latency"),
        faults=from_fields(Faults(), data.get("faults"), f"{where}: faults"),
        languages=checked(data.get("languages", {}), Mapping[str, float], f"{where}: languages"),
        domains={name: from_fields(base, values, f"{where}: domain {name}") for name, values in domains.items()},
    )
