"""Fits a domain's abilities and habits to measured accuracies: ridge regression by Gauss-Newton steps.

    minimise over theta   sum_c ((simulated_c(theta) - measured_c) / error_c)^2 + sum_k ((theta_k - mean_k) / sd_k)^2

The simulator uses the same random numbers at every theta, so its accuracies are nearly smooth and differences are
meaningful. Parameters that no measurement speaks about stay at their prior mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from w4s_gym.executors.simulation.profile import Domain

Size = Literal["probe", "slope", "full"]
"""How many items to simulate: a few to see whether a parameter matters to a workflow at all, more for its slope, all
for the fit itself."""
Measure = Callable[[Domain, Sequence[int], Size], NDArray[np.float64]]
"""`measure(domain, rows, size)` returns the simulated accuracies (0 to 1) of the workflows with these numbers."""


@dataclass(frozen=True)
class Prior:
    """What is believed about one parameter before any measurement."""

    name: str
    """Field of `Domain`."""
    mean: float
    sd: float
    low: float = -4.0
    high: float = 4.0
    above: str = ""
    """If set, `mean` is the difference to this field, whose fitted value it follows."""


PRIORS: tuple[Prior, ...] = (
    Prior("steps", 0.3, 2.0),
    Prior("prose", 0.0, 0.7, above="steps"),
    Prior("direct", -0.8, 0.7, above="steps"),
    Prior("code", 0.5, 1.0, above="steps"),
    Prior("noise", 0.3, 0.15, 0.05, 1.0),
    Prior("recognise", 0.5, 0.3),
    Prior("discuss", 0.1, 0.4),
    Prior("distract", 0.1, 0.3),
    Prior("strict", -0.8, 0.6),
    Prior("principle", 0.0, 0.4),
    Prior("persona", 0.0, 0.4),
    Prior("perspectives", 0.0, 0.4),
)
"""Weak beliefs; special effects (principles, personas, several voices) are zero unless measured."""

_FAR = 0.03
"""Error of a cell that calls for new slopes."""


@dataclass(frozen=True)
class Fit:
    """Outcome of a fit."""

    start: Domain
    priors: tuple[Prior, ...]
    theta: NDArray[np.float64]
    """The fitted parameters, in the order of the priors."""
    simulated: NDArray[np.float64]
    """Accuracies under the fitted parameters."""
    measured: NDArray[np.float64]
    slopes: NDArray[np.float64]
    """Change of each accuracy by each parameter, (workflows, parameters)."""
    error: float
    """Standard error of a measured accuracy."""

    @property
    def domain(self) -> Domain:
        """The fitted domain."""
        return _domain(self.start, self.priors, self.theta)

    def without(self, row: int) -> Domain:
        """Return the domain that all measurements but one give, to first order.

        Args:
            row: number of the workflow that is left out. What only this workflow measured falls back to its prior.
        """
        use = np.arange(len(self.measured)) != row
        # Near the optimum the model is linear: accuracies(theta) = simulated + slopes (theta - fitted).
        theta = self.theta + _step(
            self.slopes, self.measured - self.simulated, self.theta, self.priors, self.error, use
        )
        return _domain(self.start, self.priors, _clipped(theta, self.priors))


def fit_domain(
    start: Domain,
    measured: Sequence[float],
    measure: Measure,
    *,
    priors: Sequence[Prior] = PRIORS,
    error: float = 0.01,
    rounds: int = 6,
    reach: float = 0.3,
) -> Fit:
    """Fit the parameters of one domain.

    Args:
        start: the domain; fields without a prior stay as they are.
        measured: accuracies to reproduce, 0 to 1.
        measure: simulates them under a domain.
        priors: which parameters move, and what is believed about them.
        error: standard error of a measured accuracy.
        rounds: number of steps; the slopes are taken at the start, and after two steps if a cell is still far off.
        reach: step of the finite differences, at most a prior's standard deviation. Accuracies move in steps of one
            item, so the fewer items there are, the longer it has to be.
    """
    target = np.asarray(measured, dtype=float)
    rows = range(len(target))
    use = np.ones(len(target), dtype=bool)
    theta = _parameters(start, priors)
    slopes = np.zeros((len(target), len(priors)))
    best: tuple[float, NDArray[np.float64], NDArray[np.float64]] | None = None
    for turn in range(rounds + 1):
        simulated = measure(_domain(start, priors, theta), rows, "full")
        loss = float(np.sum(((simulated - target) / error) ** 2)) + _surprise(theta, priors)
        if best is None or loss < best[0]:
            best = (loss, theta, simulated)
        if turn == 0 or (turn == 2 < rounds and np.max(np.abs(best[2] - target)) > _FAR):
            slopes = _slopes(start, priors, theta, measure, len(target), reach)
        theta, simulated = best[1], best[2]
        # Shorter steps once the full step has stopped helping: accuracies move in steps of one item.
        step = _step(slopes, target - simulated, theta, priors, error, use) * 0.8**turn
        theta = _clipped(theta + step, priors)
    return Fit(start, tuple(priors), best[1], best[2], target, slopes, error)  # type: ignore[index]


def _surprise(theta: NDArray[np.float64], priors: Sequence[Prior]) -> float:
    return float(sum(((t - p.mean) / p.sd) ** 2 for t, p in zip(theta, priors, strict=True)))


def _step(
    slopes: NDArray[np.float64],
    missing: NDArray[np.float64],
    theta: NDArray[np.float64],
    priors: Sequence[Prior],
    error: float,
    use: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the Gauss-Newton step of the ridge regression from `theta`, at most 1 in any parameter."""
    mean, sd = np.array([p.mean for p in priors]), np.array([p.sd for p in priors])
    weighted = slopes[use] / error
    normal = weighted.T @ weighted + np.diag(1 / sd**2)
    gradient = weighted.T @ (missing[use] / error) + (mean - theta) / sd**2
    return np.clip(np.linalg.solve(normal, gradient), -1.0, 1.0)


def _parameters(domain: Domain, priors: Sequence[Prior]) -> NDArray[np.float64]:
    values = vars(domain)
    return _clipped(np.array([values[p.name] - (values[p.above] if p.above else 0.0) for p in priors]), priors)


def _clipped(theta: NDArray[np.float64], priors: Sequence[Prior]) -> NDArray[np.float64]:
    return np.clip(theta, [p.low for p in priors], [p.high for p in priors])


def _domain(start: Domain, priors: Sequence[Prior], theta: NDArray[np.float64]) -> Domain:
    values = {p.name: float(t) for p, t in zip(priors, theta, strict=True)}
    for prior in priors:
        if prior.above:
            values[prior.name] += values.get(prior.above, vars(start)[prior.above])
    return replace(start, **{name: round(value, 4) for name, value in values.items()})


def _slopes(
    start: Domain, priors: Sequence[Prior], theta: NDArray[np.float64], measure: Measure, count: int, reach: float
) -> NDArray[np.float64]:
    """Return finite differences, only of those workflows that a parameter touches at all."""
    rows = range(count)
    probe = measure(_domain(start, priors, theta), rows, "probe")
    base = measure(_domain(start, priors, theta), rows, "slope")
    slopes = np.zeros((count, len(priors)))
    for k, prior in enumerate(priors):
        step = min(reach, prior.sd)
        step = -step if theta[k] + step > prior.high else step
        moved, moved_far = theta.copy(), theta.copy()
        moved[k] += step
        moved_far[k] += 2 * step
        far = measure(_domain(start, priors, moved_far), rows, "probe")
        touched = [i for i in rows if far[i] != probe[i]]
        if touched:
            slopes[touched, k] = (measure(_domain(start, priors, moved), touched, "slope") - base[touched]) / step
    return slopes
