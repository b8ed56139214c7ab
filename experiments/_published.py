"""Published accuracies of hand-made workflows: what the shipped simulated profiles are calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

GPT_4O_MINI: dict[str, dict[str, float]] = {
    "HotpotQA": {"IO": 68.1, "CoT": 67.9, "CoT-SC": 68.9, "MedPrompt": 68.3, "MultiPersona": 69.2, "Self-Refine-3": 60.8},
    "DROP": {"IO": 68.3, "CoT": 78.5, "CoT-SC": 78.8, "MedPrompt": 78.0, "MultiPersona": 74.4, "Self-Refine-3": 70.2},
    "HumanEval": {"IO": 87.0, "CoT": 88.6, "CoT-SC": 91.6, "MedPrompt": 91.6, "MultiPersona": 89.3, "Self-Refine-3": 87.8},
    "MBPP": {"IO": 71.8, "CoT": 71.8, "CoT-SC": 73.6, "MedPrompt": 73.6, "MultiPersona": 73.6, "Self-Refine-3": 69.8},
    "GSM8K": {"IO": 92.7, "CoT": 92.4, "CoT-SC": 92.7, "MedPrompt": 90.0, "MultiPersona": 92.8, "Self-Refine-3": 89.6},
}  # fmt: skip
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
