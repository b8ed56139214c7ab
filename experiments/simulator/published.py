"""Published accuracies of hand-made workflows: what the shipped simulated profiles are calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

_AFLOW_WORKFLOWS = ("IO", "CoT", "CoT-SC", "MedPrompt", "MultiPersona", "Self-Refine-3")
_AFLOW_FIGURES = {
    "HotpotQA": (68.1, 67.9, 68.9, 68.3, 69.2, 60.8),
    "DROP": (68.3, 78.5, 78.8, 78.0, 74.4, 70.2),
    "HumanEval": (87.0, 88.6, 91.6, 91.6, 89.3, 87.8),
    "MBPP": (71.8, 71.8, 73.6, 73.6, 73.6, 69.8),
    "GSM8K": (92.7, 92.4, 92.7, 90.0, 92.8, 89.6),
}
GPT_4O_MINI: dict[str, dict[str, float]] = {
    name: dict(zip(_AFLOW_WORKFLOWS, figures, strict=True)) for name, figures in _AFLOW_FIGURES.items()
}
"""AFlow's table 1 (mean of three runs); its MATH column cannot be measured without the data."""

_ADAS_WORKFLOWS = (
    "CoT", "CoT-SC", "Self-Refine-5", "LLM-Debate", "Step-back", "Quality-Diversity", "Dynamic-roles",
)  # fmt: skip
_ADAS_FIGURES = {
    "MGSM": (28.0, 28.2, 27.5, 39.0, 31.1, 23.8, 30.1),
    "GSM8K": (34.9, 37.8, 38.9, 43.6, 31.5, 28.0, 37.0),
    "GSMHard": (15.0, 15.5, 15.1, 17.4, 12.2, 14.1, 18.0),
    "SVAMP": (77.8, 78.2, 78.5, 76.0, 76.1, 69.8, 73.0),
}
GPT_35_TURBO: dict[str, dict[str, float]] = {
    name: dict(zip(_ADAS_WORKFLOWS, figures, strict=True)) for name, figures in _ADAS_FIGURES.items()
}
"""Archives of ADAS (medians over 800 test items)."""

BEST_PUBLISHED: dict[str, dict[str, float]] = {
    "gpt-4o-mini": {"HotpotQA": 86.0, "DROP": 86.2, "HumanEval": 95.9, "MBPP": 84.7, "GSM8K": 94.6},
    "gpt-3.5-turbo": {"MGSM": 53.4, "GSM8K": 86.5, "GSMHard": 61.8, "SVAMP": 81.5},
}
"""Best published workflow of any kind, found by search: what no workflow may beat by more than a few points."""

PUBLISHED = {"gpt-4o-mini": GPT_4O_MINI, "gpt-3.5-turbo": GPT_35_TURBO}


@dataclass(frozen=True)
class Cell:
    """One published figure."""

    profile: str
    """Name of the simulated profile."""
    benchmark: str
    workflow: str
    """Name of the hand-made workflow."""
    published: float
    """Accuracy or F1 in percent."""


def cells(profile: str, benchmark: str) -> list[Cell]:
    """Return the published figures of one benchmark."""
    return [Cell(profile, benchmark, name, value) for name, value in PUBLISHED[profile][benchmark].items()]
