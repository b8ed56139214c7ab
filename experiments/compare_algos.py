"""Compare designers of workflows under the same budget of executor calls.

    python experiments/compare_algos.py                           # embedded defaults, simulated executor
    python experiments/compare_algos.py --env W4S-MGSM-v0         # real MGSM items (W4S_DATA_DIR)
    python experiments/compare_algos.py --algos untrained seed rlao adas aflow --seeds 5
    python experiments/compare_algos.py --resume                  # go on with the latest run of this configuration
    python experiments/compare_algos.py --report runs/<folder>    # tables and plots again, nothing is run
    python experiments/compare_algos.py --plan                    # only print what it would cost

A run leaves a folder: config.json, journal.jsonl (one record per finished cell), table.md, figures.json, plots,
best_workflow.py, and per cell the trajectories and the trained meta-agent.
"""

from __future__ import annotations

import sys

from w4s_gym.study.cells import comparison_cells
from w4s_gym.study.command import Study, parse
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.report import write_report

COMPARE = Study("compare", comparison_cells, write_report)

if __name__ == "__main__":
    sys.exit(COMPARE.run(parse(CompareConfig, __doc__)))
