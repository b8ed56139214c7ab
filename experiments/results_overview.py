"""Make the table of docs/results/README.md again from the tables of the runs beside it.

python experiments/results_overview.py
"""

from __future__ import annotations

from pathlib import Path

from w4s_gym.study.overview import write_overview

if __name__ == "__main__":
    for page in sorted(Path(__file__).parents[1].glob("docs/results/**/README.md")):
        write_overview(page)
        print(f"wrote {page}")
