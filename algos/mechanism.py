"""What an update learns from: how many rows carry its weight, and whether the candidates of a state differed at all."""

from __future__ import annotations

from collections.abc import Sequence

from w4s_gym.algos.trajectory import Row


def effective_rows(weights: Sequence[float]) -> float:
    """Return Kish's effective sample size, (sum of w)^2 / sum of w^2: n for equal weights, 1 if one carries all.

    >>> effective_rows([1.0, 1.0, 1.0, 1.0]), effective_rows([5.0, 0.0])
    (4.0, 1.0)
    """
    shares = _of_largest(weights)
    return sum(shares) ** 2 / sum(share**2 for share in shares) if shares else 0.0


def new_best_weight(rows: Sequence[Row], weights: Sequence[float]) -> float:
    """Return the share of the weight that new bests carry, 0 to 1."""
    shares = _of_largest(weights)
    if not shares:
        return 0.0
    return sum(share for row, share in zip(rows, shares, strict=True) if row.new_best) / sum(shares)


def groups_with_spread(rows: Sequence[Row]) -> float:
    """Return the share of states whose first attempts did not all earn the same, among those with two measured ones."""
    earned: dict[tuple[str, str, int, int], list[float]] = {}
    for row in rows:
        if row.kind == "design" and row.reward is not None:
            earned.setdefault(row.state, []).append(row.reward)
    groups = [rewards for rewards in earned.values() if len(rewards) > 1]
    return sum(len(set(rewards)) > 1 for rewards in groups) / max(1, len(groups))


def _of_largest(weights: Sequence[float]) -> list[float]:
    """Divide by the largest, since weights of up to e^700 would overflow; empty if none is above 0."""
    largest = max(weights, default=0.0)
    return [weight / largest for weight in weights] if largest else []
