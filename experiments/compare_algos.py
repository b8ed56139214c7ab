"""Compare designers of workflows under the same budget of executor calls.

    python experiments/compare_algos.py                           # embedded defaults, simulated executor
    python experiments/compare_algos.py --env W4S-MGSM-v0         # real MGSM items (W4S_DATA_DIR)
    python experiments/compare_algos.py --algos untrained seed rlao adas aflow --seeds 5
    python experiments/compare_algos.py --resume                  # go on with the latest run of this configuration
    python experiments/compare_algos.py --report runs/<folder>    # tables and plots again, nothing is run
    python experiments/compare_algos.py --plan                    # only print what it would cost

A run leaves a folder: config.json, journal.jsonl (one record per finished cell), table.md, figures.json, plots,
best_workflow.py, and per cell the trajectories and the trained meta-agent. The same as `w4s-gym compare`.
"""

from __future__ import annotations

import sys

from w4s_gym.command_line import parse
from w4s_gym.commands.compare import Compare

if __name__ == "__main__":
    sys.exit(parse(Compare, __doc__).run())
