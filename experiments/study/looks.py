"""How a designer looks in every plot: told apart without colour vision, by colour, marker and line style together."""

from __future__ import annotations

from dataclasses import dataclass

from w4s_gym.study.results import Results


@dataclass(frozen=True)
class Look:
    """Colour, marker and line of a designer."""

    colour: str
    """`#rrggbb`."""
    marker: str
    """`circle`, `square`, `triangle`, `diamond` or `cross`."""
    dash: str
    """Lengths of dashes and gaps, as SVG writes them; empty for a full line."""


# The palette of Okabe and Ito, "Color universal design" (2008), without its yellow, which is faint on white.
_COLOURS = ("#56b4e9", "#d55e00", "#009e73", "#cc79a7")
_MARKERS = ("circle", "square", "triangle", "diamond", "cross")
_DASHES = ("", "6 3", "2 2", "8 3 2 3")
_KNOWN = {
    "untrained": Look("#7f7f7f", "circle", "6 3"),
    "seed": Look("#000000", "cross", "2 2"),
    "sft": Look("#e69f00", "square", "6 3"),
    "rlao": Look("#0072b2", "triangle", ""),
    "group_rlao": Look("#a6761d", "triangle", "8 3 2 3"),
    "grpo": Look("#cc79a7", "diamond", "8 3 2 3"),
    "adas": Look("#d55e00", "circle", ""),
    "aflow": Look("#009e73", "square", ""),
    "cot_sc": Look("#56b4e9", "cross", "6 3"),
    "gepa": Look("#882255", "triangle", "6 3"),
    "random_edits": Look("#5e3c99", "diamond", "2 2"),
}

MATPLOTLIB_MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "cross": "X"}


def look_of(results: Results, algo: str) -> Look:
    """Return the look of a designer: the same in all plots and runs."""
    return look_of_name(algo, results.stream(algo))


def look_of_name(algo: str, number: int) -> Look:
    """Return the look of a designer; the number tells those apart that we have not chosen one for."""
    return _KNOWN.get(
        algo,
        Look(_COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)], _DASHES[number % len(_DASHES)]),
    )


def line_style(look: Look) -> str | tuple[int, tuple[float, ...]]:
    """Return the line style that matplotlib understands."""
    return (0, tuple(float(length) for length in look.dash.split())) if look.dash else "-"
