"""A meta-agent learns to design workflows for a real model on this machine: no key, no network, nothing simulated.

The executor is SmolLM2-135M on llama.cpp, the items are ChainSum's sums of two two-digit numbers, which it can do only
when it is asked in the right way: the usual workflows solve next to nothing, an expression that is run solves most.

    python experiments/real_learning.py
    python experiments/real_learning.py --env-options ...   # every option of compare_algos.py

It is `compare_algos.py` with other defaults, chosen so that it ends in about an hour on two cores: three calls an item,
few items and episodes, short replies, and one cache of replies that all cells share (in the run folder's parent), so
that an interrupted run goes on with `--resume` and a run made again takes minutes.
"""

from __future__ import annotations

import json
import sys

from _command import parse, run_command
from _config import CompareConfig
from _study import comparison_cells
from compare_algos import write_report

ENVIRONMENT = {
    "limits": {"item_caps": {"calls": 3}, "in_flight": 8},
    "executor_config": {"reply_tokens": 48, "parallel": 4, "threads": 1, "cache_folder": "runs/real_learning_cache"},
}
"""A workflow that asks more than three times about an item gets no answer any more; replies end after 48 tokens."""

DEFAULT = CompareConfig(
    env="W4S-ChainSum-v0",
    executor="local:smollm2-135m",
    algos=("untrained", "seed", "sft", "rlao"),
    seeds=3,
    budget=1500,
    design_episodes=4,
    validation_size=40,
    test_size=60,
    env_options=json.dumps(ENVIRONMENT),
)

if __name__ == "__main__":
    given = parse(CompareConfig, __doc__, DEFAULT)
    sys.exit(run_command("real_learning", given, comparison_cells, write_report))
