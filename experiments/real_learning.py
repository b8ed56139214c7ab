"""A meta-agent learns to design workflows for a real model on this machine: no key, no network, nothing simulated.

The executor is SmolLM2-135M on llama.cpp, the items are ChainSum's sums of two two-digit numbers, which it can do only
when it is asked in the right way: the usual workflows solve next to nothing; an equation whose left side is run solves
most.

    python experiments/real_learning.py
    python experiments/real_learning.py --resume    # go on with an interrupted run

One-step word problems instead of sums:

    python experiments/real_learning.py --env-options '{"style": "story"}'

It is `compare_algos.py`, with all its options and other defaults, since two cores give one to four replies a second:
at most three calls an item, short replies, and one cache of replies for all cells, beside the run folders: a run that
is made again takes minutes. Episodes of one turn start from a seed workflow, which solves next to nothing, so most
candidates can be given up early. An update learns from two of them, and makes half the usual passes to leave the
meta-agent something to explore. Learners play three iterations, which `--budget` may cut short, the untrained
meta-agent the first one only: it shows what learning started from. The reward is the gain in accuracy: new bests differ
widely in worth here, which the tiers do not tell, and the relative reward not either while the best seed workflow
solves nothing.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from w4s_gym.command_line import parse
from w4s_gym.study.cells import Cell, comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.report import write_report

ENVIRONMENT = {
    "reward": {"kind": "gain"},
    "racing": {"look_every": 8, "limit": 0.04, "archive": 3},
    "limits": {"item_caps": {"calls": 3}, "in_flight": 8},
    "executor_config": {
        "reply_tokens": 32,
        "parallel": 4,
        "reuse_prompts": True,
        "threads": 1,
        "cache_folder": "runs/real_learning_cache",
    },
}
"""Candidates are looked at after every eighth item, and given up when a win is less likely than 4%: nearly all solve
none at all. That is too strict where the state may hold a workflow that solves something, as in episodes of more turns.
The seed workflows suffice to sort the items. A workflow that asks more than three times about an item gets no answer
any more; replies end after 32 tokens; a prompt starts from the part that the server has seen before, which makes
replies about twice as fast. `--env-options` add to these or replace them."""

EPISODES = 2
"""Episodes behind one update."""
PASSES = 10
"""Passes of an update over its rows."""
TAU = 0.05
"""Temperature of RLAO's weights: a gain of 0.1 weighs 7 times as much as none, with the usual 0.2 only 1.6 times."""

DEFAULT = CompareConfig(
    env="W4S-ChainSum-v0",
    executor="local:smollm2-135m",
    algos=("untrained", "seed", "sft", "rlao"),
    budget=6_000,
    iterations=3,
    turns=1,
    design_turns=1,
    design_episodes=1,
    curve_turns=1,
    validation_size=40,
    test_size=40,
    algo_options={
        "untrained": {"episodes": EPISODES},
        "sft": {"episodes": EPISODES, "epochs": PASSES},
        "rlao": {"episodes": EPISODES, "epochs": PASSES, "tau": TAU},
    },
)


def with_environment(config: CompareConfig) -> CompareConfig:
    """Add `ENVIRONMENT` to the options of the command line, so that the run folder says what was run."""
    return replace(config, env_options={**ENVIRONMENT, **config.env_options})


def cells(config: CompareConfig) -> list[Cell]:
    """All cells; the untrained meta-agent plays one iteration, the first one of the others.

    They are sorted by designer: those of one seed ask much the same, and unless they run at the same time, one finds
    the replies of the other in the cache.
    """
    once = replace(config, iterations=1)
    ordered = sorted(comparison_cells(config), key=lambda cell: config.algos.index(cell.algo))
    return [replace(cell, config=once) if cell.designer.baseline else cell for cell in ordered]


REAL_LEARNING = Study("real_learning", cells, write_report)

if __name__ == "__main__":
    sys.exit(REAL_LEARNING.run(with_environment(parse(CompareConfig, __doc__, DEFAULT))))
