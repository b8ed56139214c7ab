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

from w4s_gym.journal import RunFolder
from w4s_gym.study.command import parse, run_command
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.results import Results
from w4s_gym.study.runner import comparison_cells, console


def main(config: CompareConfig) -> int:
    """Run, resume or report a comparison; returns the exit code."""
    return run_command("compare", config, comparison_cells, write_report)


def write_report(folder: RunFolder, config: CompareConfig) -> None:
    """Make tables, plots and the workflow file from the journal; prints the tables."""
    from w4s_gym.study.best_workflow import write_best_workflow
    from w4s_gym.study.plots import write_plots
    from w4s_gym.study.report import ComparisonReport

    results = Results.of_run(folder)
    report = ComparisonReport(results)
    report.write(folder.path)
    plots = write_plots(results, folder.path)
    workflow = write_best_workflow(results, folder.path / "best_workflow.py")
    report.show(console)
    for path in (folder.path / "table.md", *plots, workflow):
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if config.track:
        from w4s_gym.study.track import track

        console.print(f"wandb run: {track(results, report, folder.path, workflow)}")


if __name__ == "__main__":
    sys.exit(main(parse(CompareConfig, __doc__)))
