"""Options of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from w4s_gym.cluster import ClusterOptions
from w4s_gym.errors import ConfigError
from w4s_gym.evaluation import EvaluationLimits
from w4s_gym.ledger import Caps
from w4s_gym.options import whole_number
from w4s_gym.paths import user_path
from w4s_gym.prompts import PromptStyle
from w4s_gym.racing import RacingRule
from w4s_gym.reward import RewardRule
from w4s_gym.sandbox import SandboxConfig
from w4s_gym.splits import SplitKind


@dataclass(frozen=True)
class EnvConfig:
    """What `gym.make` takes besides benchmark, executor and the benchmark's own options.

    Options that are objects here (`reward`, `limits`, `budget`, `racing`, `sandbox`) are given as dicts of some of
    their fields, so that specs of environments are plain data.
    """

    executor_config: Mapping[str, Any] | None = None
    """Plain JSON options of the executor (base URL, cache folder, ...); see `make_executor`."""
    executors: Mapping[str, Any] | None = None
    """Several executors instead of one, by the name that workflows choose them by with `model=`: a spec, an `Executor`,
    or an object with fields of `PoolMember` (own options, price and caps). The first answers calls without `model=`."""
    max_turns: int = 10
    """Length of an episode in turns."""
    window: int = 2
    """Number of turns after which the chat starts afresh from the seeds and the current workflow."""
    max_repairs: int = 3
    """Repairs of one action before it is skipped."""
    self_test: bool = True
    """Run a new workflow on one sample before it is measured."""
    draw: int | None = None
    """Draw of the executor's randomness for all episodes, whatever their seeds: what was measured once is never paid
    again, also by later episodes and other designers (slow or dear executors); a lucky draw stays lucky. None: the
    seed of an episode chooses it."""
    feedback_cases: int = 5
    """Number of failed items shown after a turn; 0 shows none."""
    feedback_items: int | None = None
    """Number of items that the failures are shown from, beside those that pay: a workflow that answers from a table of
    what was shown earns nothing by it. They are taken from what validation and test leave over, else from validation.
    Each turn runs its workflow on them. None: a quarter as many as validation items, but none with the published split
    and for confidential benchmarks, whose questions are never shown. 0: failures are validation items, as published."""
    prompt_style: PromptStyle = "full"
    """`full` as published, `compact` (for meta-agents with a small context), or `guided` (for weak meta-agents, which
    take shown questions for their own task)."""
    requests: bool = False
    """Each candidate of a state is asked to change another thing, drawn blindly; see `drawn_requests`."""
    must_ask: bool | None = None
    """A workflow that passes its self-test without asking the executor is sent back for a repair, like one that
    raises. None: with the prompt style `guided` only."""
    reject_copies: bool = False
    """A workflow that the state shows already, but for layout, comments and docstrings, is sent back for a repair
    instead of being measured again; it costs no calls."""
    reward: RewardRule = RewardRule()
    """Which reward an accepted workflow earns."""
    seed_workflows: tuple[str, ...] | None = None
    """Names of the benchmark's seed workflows that an episode starts with; None takes all. With a poor one alone
    (`["CoT"]`) it is for the meta-agent to find what the others know."""
    validation_size: int | None = None
    """Number of validation items; the benchmark's default if None."""
    test_size: int | None = None
    """Largest number of test items; the benchmark's default if None."""
    split_seed: int = 0
    """Seed of the split (not of the episode)."""
    split: SplitKind = "seeded"
    """`seeded`, or `published` where the benchmark has published lists."""
    limits: EvaluationLimits = EvaluationLimits()
    """Limits of running workflows."""
    budget: Caps = Caps()
    """Caps on all that this environment runs."""
    racing: RacingRule | None = None
    """When to end the validation of candidates that can hardly earn a reward (an empty dict takes the defaults; a
    candidate that is given up earns the reward of its predicted accuracy); None measures every candidate on all items.
    """
    remember: bool = False
    """Let the environments of one process that measure the same workflow on the same item and draw with a simulated
    executor run it once; and run a program once, or a test of one, where nothing but its text decides what it does.
    Numbers and charges are those of measuring it again; only time is saved."""
    cluster: ClusterOptions | None = None
    """Run items on environment actors of a Ray cluster (an empty dict takes the defaults); numbers stay the same. Not
    with caps over several items."""
    sandbox: SandboxConfig = SandboxConfig()
    """How workflows are confined."""
    allow_unsafe: bool = False
    """Accept a machine that cannot isolate workflows; the same as `sandbox={"allow_unsafe": True}`."""
    journal: str | None = None
    """File that gets a line for every evaluation; its folder must exist."""

    def __post_init__(self) -> None:
        """Refuse values that cannot be used."""
        for name, least in (
            ("max_turns", 1),
            ("window", 1),
            ("max_repairs", 0),
            ("feedback_cases", 0),
        ):
            whole_number(getattr(self, name), least, name)
        for name, least in (("validation_size", 1), ("test_size", 1), ("draw", 0)):
            if getattr(self, name) is not None:
                whole_number(getattr(self, name), least, name)
        if self.journal is not None and not user_path(self.journal).parent.is_dir():
            raise ConfigError(f"expected journal to be a file in a folder that exists; got {self.journal!r}")
