"""Fits a domain's abilities and habits to measured accuracies: ridge regression by Gauss-Newton steps.

    minimise over theta   sum_c ((simulated_c(theta) - measured_c) / error_c)^2 + sum_k ((theta_k - mean_k) / sd_k)^2

The simulator uses the same random numbers at every theta, so its accuracies are nearly smooth and differences are
meaningful. Parameters that no measurement speaks about stay at their prior mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from w4s_gym.executors.simulation.profile import Domain

Measure = Callable[[Domain, Sequence[int], bool], NDArray[np.float64]]
"""`measure(domain, rows, quick)` returns the simulated accuracies (0 to 1) of the workflows with these numbers; `quick`
asks for a small sample of the items, which shows whether a parameter matters to a workflow at all."""


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

_STEP = 0.3
"""Largest step of the finite differences; accuracies are steps of one item, so small differences are all noise."""


@dataclass(frozen=True)
class Fit:
    """Outcome of a fit."""

    domain: Domain
    simulated: NDArray[np.float64]
    """Accuracies under the fitted domain."""
    jacobian: NDArray[np.float64]
    """Change of each accuracy by each parameter, (workflows, parameters); reusable for fits on subsets."""
    theta: NDArray[np.float64]
    """The fitted parameters, in the order of the priors."""


def fit_domain(
    start: Domain,
    measured: Sequence[float],
    measure: Measure,
    *,
    priors: Sequence[Prior] = PRIORS,
    error: float = 0.01,
    rounds: int = 4,
    use: Sequence[bool] | None = None,
    known: Fit | None = None,
) -> Fit:
    """Fit the parameters of one domain.

    Args:
        start: the domain; fields without a prior stay as they are.
        measured: accuracies to reproduce, 0 to 1.
        measure: simulates them under a domain.
        priors: which parameters move, and what is believed about them.
        error: standard error of a measured accuracy.
        rounds: number of steps.
        use: which measurements count (default: all).
        known: an earlier fit whose parameters and derivatives to start from.
    """
    target = np.asarray(measured, dtype=float)
    everything = range(len(target))
    weight = np.asarray([True] * len(target) if use is None else use, dtype=float) / error
    mean = np.array([p.mean for p in priors])
    sd = np.array([p.sd for p in priors])
    theta = known.theta.copy() if known else _parameters(start, priors)
    simulated = known.simulated if known else measure(_domain(start, priors, theta), everything, False)
    jacobian = known.jacobian if known else _derivatives(start, priors, theta, simulated, measure)
    best = (np.inf, theta, simulated)
    for turn in range(rounds + 1):
        loss = float(np.sum((weight * (simulated - target)) ** 2) + np.sum(((theta - mean) / sd) ** 2))
        if loss < best[0]:
            best = (loss, theta, simulated)
        if turn == rounds:
            break
        if known is None and turn == 1:
            jacobian = _derivatives(start, priors, theta, simulated, measure)
        weighted = jacobian * weight[:, None]
        normal = weighted.T @ weighted + np.diag(1 / sd**2)
        gradient = weighted.T @ (weight * (target - simulated)) + (mean - theta) / sd**2
        step = np.clip(np.linalg.solve(normal, gradient), -1.0, 1.0)
        theta = _clipped(theta + step, priors)
        simulated = measure(_domain(start, priors, theta), everything, False)
    return Fit(_domain(start, priors, best[1]), best[2], jacobian, best[1])


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


def _derivatives(
    start: Domain, priors: Sequence[Prior], theta: NDArray[np.float64], base: NDArray[np.float64], measure: Measure
) -> NDArray[np.float64]:
    everything = range(len(base))
    quick = measure(_domain(start, priors, theta), everything, True)
    jacobian = np.zeros((len(base), len(priors)))
    for k, prior in enumerate(priors):
        step = min(_STEP, prior.sd)
        step = -step if theta[k] + step > prior.high else step
        moved, moved_far = theta.copy(), theta.copy()
        moved[k] += step
        moved_far[k] += 2 * step
        far = measure(_domain(start, priors, moved_far), everything, True)
        rows = [i for i in everything if far[i] != quick[i]]
        if rows:
            jacobian[rows, k] = (measure(_domain(start, priors, moved), rows, False) - base[rows]) / step
    return jacobian
