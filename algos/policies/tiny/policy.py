"""The tiny meta-agent as a policy."""

from __future__ import annotations

from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.policies.tiny.warmstart import tiny_folder

SAMPLING = HFConfig(
    prompt_style="compact",
    temperature=0.85,  # further below 1, regression on its own samples narrows it down before rewards can tell
    max_new_tokens=320,
)
"""How it writes unless it is told otherwise; how it learns stands beside each algorithm, as `TINY`."""


class TinyPolicy(HFPolicy):
    """The embedded meta-agent, built on first use."""

    tiny = True

    def __init__(self, config: HFConfig = SAMPLING) -> None:
        """Load it; the first time on a machine it is trained (one to two minutes)."""
        super().__init__(tiny_folder(), "tiny", config)
