"""Makes a profile out of a recorded run of a real executor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from w4s_gym._loop import run_sync
from w4s_gym.benchmark import Benchmark, Item
from w4s_gym.calibration.fitting import Fit, Prior, Size, fit_domain
from w4s_gym.episode import Episode
from w4s_gym.errors import ConfigError
from w4s_gym.evaluation import EvaluationLimits, Evaluator
from w4s_gym.executors.sim import SimulatedExecutor
from w4s_gym.executors.simulation.profile import Domain, Faults, Latency, Price, Profile
from w4s_gym.journal import RunFolder, read_journal
from w4s_gym.ledger import Ledger
from w4s_gym.results import Evaluation
from w4s_gym.sandbox import Sandbox

PRIORS: tuple[Prior, ...] = (
    Prior("understand", 1.0, 0.5),
    Prior("steps", 0.0, 1.5),
    Prior("prose", 0.0, 1.0, above="steps"),
    Prior("direct", -0.3, 1.0, above="steps"),
    Prior("expression", 0.0, 1.0, above="steps"),
    Prior("code", 0.0, 1.0, above="expression"),
    Prior("json", 0.0, 1.5),
    Prior("brief", 1.0, 0.5, 0.0, 1.0),
    Prior("noise", 0.5, 0.25, 0.05, 1.5),
    Prior("recognise", 0.3, 0.5),
    Prior("discuss", 0.0, 0.4),
    Prior("distract", 0.1, 0.3),
    Prior("strict", -0.5, 0.6),
    Prior("principle", 0.0, 0.4),
    Prior("restate", 0.0, 0.4),
    Prior("shots", 0.0, 0.5),
)
"""Wider than for the published figures: nothing is known of the executor beforehand but that abilities go together."""

_REACH = 0.8


@dataclass(frozen=True)
class Recorded:
    """One workflow of a recorded run."""

    source: str
    scores: Mapping[str, float]
    """Item id -> score; items that could not be asked are missing."""


@dataclass(frozen=True)
class Comparison:
    """Simulated against real accuracies (0 to 1) of the same workflows on the same items."""

    real: NDArray[np.float64]
    simulated: NDArray[np.float64]

    @property
    def error(self) -> float:
        """Mean absolute error."""
        return float(np.mean(np.abs(self.real - self.simulated)))

    @property
    def rank_correlation(self) -> float:
        """Spearman's rank correlation; NaN when one side is constant."""
        return float(stats.spearmanr(self.real, self.simulated).statistic)


def read_run(path: Path) -> list[Recorded]:
    """Read the workflows of a recorded run, in the order in which they were first measured.

    Args:
        path: a journal of an environment; or the run folder of a comparison, or its journal, whose designers' whole
            evaluations on validation items are read.

    Raises:
        ConfigError: nothing was recorded there, or by a simulated executor, which a profile need not be made of.
    """
    found: dict[str, dict[str, float]] = {}
    for record in _evaluations(path):
        scores = found.setdefault(record["workflow"], {})
        scores.update({item: score for item, status, score in record["items"] if status != "infrastructure"})
    if not found:
        raise ConfigError(
            f"expected a journal with records of kind 'evaluation', or the run folder of a comparison; {path} has none"
        )
    return [Recorded(source, scores) for source, scores in found.items()]


def _evaluations(path: Path) -> Iterator[dict[str, Any]]:
    folder = path if path.is_dir() else path.parent
    cells = sorted(folder.glob("cells/*/evaluations.jsonl"))
    if not cells:
        yield from (record for record in read_journal(path) if record["kind"] == "evaluation")
        return
    if RunFolder.open(folder).simulated:
        raise ConfigError(
            f"expected a run of a real executor; that of {folder} is simulated, and has a profile already"
        )
    for file in cells:
        for record in read_journal(file):
            # Racing ends some early; what was tested is few, and other items.
            if record["kind"] == "evaluation" and record["part"] == "validation" and not record["stopped_early"]:
                yield record


def halves(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Split items into two halves by a hash of their ids: one to fit on, one held out."""
    ranked = sorted(items, key=lambda item: hashlib.blake2b(item.id.encode()).digest())
    return ranked[::2], ranked[1::2]


def accuracies(workflows: Sequence[Recorded], items: Sequence[Item]) -> NDArray[np.float64]:
    """Return the recorded accuracy of each workflow on these items."""
    means = []
    for workflow in workflows:
        scores = [workflow.scores[item.id] for item in items if item.id in workflow.scores]
        if not scores:
            raise ConfigError("expected every recorded workflow to have been measured on the items; one has no score")
        means.append(float(np.mean(scores)))
    return np.array(means)


class Simulation:
    """Measures recorded workflows under candidate domains, in the sandbox."""

    def __init__(self, benchmark: Benchmark, profile: Profile, sandbox: Sandbox) -> None:
        """Keep the parts.

        Args:
            benchmark: the benchmark of the run.
            profile: the profile to vary.
            sandbox: runs the workflows.
        """
        self._benchmark = benchmark
        self.profile = profile
        self._sandbox = sandbox

    def with_domain(self, domain: Domain) -> Profile:
        """Return the profile with another domain for the benchmark."""
        return replace(self.profile, domains={**self.profile.domains, self._benchmark.name: domain})

    async def accuracies(
        self, domain: Domain, workflows: Sequence[Recorded], items: Sequence[Item], draws: int = 1
    ) -> NDArray[np.float64]:
        """Return the simulated accuracy of each workflow, averaged over independent draws."""
        executor = SimulatedExecutor(f"sim:{self.profile.name}", self.with_domain(domain))
        evaluator = Evaluator(self._benchmark, executor, self._sandbox, EvaluationLimits())
        sources = [workflow.source for workflow in workflows]
        total = np.zeros(len(sources))
        for draw in range(draws):
            for row, outcome in enumerate(await evaluator.evaluate_many(sources, items, Episode(draw, Ledger("fit")))):
                if not isinstance(outcome, Evaluation):
                    raise outcome
                total[row] += outcome.accuracy
        return total / draws

    def measure(
        self, domain: Domain, workflows: Sequence[Recorded], items: Sequence[Item], draws: int = 1
    ) -> NDArray[np.float64]:
        """Do the same from outside of any event loop."""
        return run_sync(self.accuracies(domain, workflows, items, draws))


Simulate = Callable[[Domain, Sequence[Recorded], Sequence[Item]], NDArray[np.float64]]
"""Returns the simulated accuracy of each workflow on the items under a domain; `Simulation.measure` is one."""


def fit_run(
    simulate: Simulate,
    workflows: Sequence[Recorded],
    items: Sequence[Item],
    start: Domain,
    rounds: int = 4,
    simulated: Sequence[Item] = (),
) -> Fit:
    """Fit a domain to the recorded accuracies of workflows on items.

    Args:
        simulate: simulates accuracies.
        workflows: what was recorded.
        items: the recorded items that the fit may see.
        start: the domain; fields without a prior stay as they are.
        rounds: number of steps.
        simulated: items to simulate on, by default the same ones. How hard an item is for the simulator is drawn, not
            known of the real one, so more items say more exactly what a domain means.
    """
    simulated = simulated or items
    sizes: dict[Size, int] = {"probe": len(items), "slope": len(simulated), "full": len(simulated)}
    real = accuracies(workflows, items)

    def measure(domain: Domain, rows: Sequence[int], size: Size) -> NDArray[np.float64]:
        chosen = [workflows[row] for row in rows]
        return simulate(domain, chosen, simulated[: sizes[size]])

    # Standard error of an accuracy of one half, but never so small that one cell rules the fit.
    error = max(0.02, float(np.sqrt(np.mean(real * (1 - real)) / len(items))))
    return fit_domain(start, real.tolist(), measure, priors=PRIORS, error=error, rounds=rounds, reach=_REACH)


def blank_profile(name: str, seed: str) -> Profile:
    """Return a profile that knows nothing yet about the executor it shall imitate."""
    return Profile(
        name=name,
        description=f"Simulated {name}, fitted to a recorded run.",
        provenance=(),
        seed=seed,
        price=Price(),
        latency=Latency(),
        faults=Faults(malformed=0.0, empty=0.0, bug=0.0),
        languages={},
    )


def profile_to_dict(profile: Profile) -> dict[str, Any]:
    """Write a profile as plain data, as `profile_from_dict` reads it."""
    usual = asdict(Domain())
    domains = {
        name: {key: value for key, value in asdict(domain).items() if value != usual[key]}
        for name, domain in profile.domains.items()
    }
    return {**asdict(profile), "provenance": list(profile.provenance), "domains": domains}
