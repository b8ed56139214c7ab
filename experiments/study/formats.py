"""How figures are printed in tables."""

from __future__ import annotations

from typing import Any

from w4s_gym.study.stats import Estimate
from w4s_gym.study.table import Number


def percent(share: float) -> Number:
    """Write a share as percent."""
    return Number(f"{100 * share:.1f}", 100 * share)


def percent_interval(estimate: Estimate) -> Number:
    """Write a share with its interval as percent."""
    return Number(estimate.percent(), 100 * estimate.value, 100 * estimate.low, 100 * estimate.high)


def points(difference: Estimate) -> Number:
    """Write a difference of shares with its interval in points."""
    value, low, high = (100 * x for x in (difference.value, difference.low, difference.high))
    return Number(f"{value:+.1f} [{low:+.1f}, {high:+.1f}]", value, low, high)


def interval(estimate: Estimate) -> Number:
    """Write a number between 0 and 1 with its interval."""
    text = f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
    return Number(text, estimate.value, estimate.low, estimate.high)


def plain(value: float | None, form: str = ",.0f", unknown: str = "") -> Number | str:
    """Write a number; a missing one as `unknown`."""
    return unknown if value is None else Number(format(value, form), value)


def usage_cells(usage: dict[str, Any]) -> list[Number | str]:
    """Return calls, tokens, dollars and seconds of the executor."""
    return [
        plain(usage["calls"]),
        Number(_short(usage["tokens"]), usage["tokens"]),
        plain(usage["dollars"], ".2f", "unknown"),
        plain(usage["seconds"]),
    ]


def _short(number: float) -> str:
    """Write a large number in four characters or so."""
    if number >= 1e6:
        return f"{number / 1e6:.2f}M"
    return f"{number / 1e3:.0f}k" if number >= 1e4 else f"{number:.0f}"
