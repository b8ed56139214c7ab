"""Studies: designers of workflows compared under the same budget, from training to tables."""

from w4s_gym.study.comparison import Comparison, ComparisonResults
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.inline import InlinePage, show

__all__ = ["CompareConfig", "Comparison", "ComparisonResults", "InlinePage", "show"]
