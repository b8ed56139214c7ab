"""The best workflow of a comparison as a runnable file."""

from __future__ import annotations

from pathlib import Path

from w4s_gym.study.results import CellResult, Results


def best_search(results: Results) -> CellResult:
    """Return the cell whose search found the workflow with the best validation accuracy over two independent draws.

    What executor calls are worth is taken off, if they have a price. No test score takes part.
    """

    def merit(cell: CellResult) -> tuple[float, int]:
        found = cell.result["search"]
        cost = found.get("cost", 0.0) + found.get("cost_fresh", 0.0)
        return found["validation"] + found["validation_fresh"] - cost, -cell.seed

    return max(results.cells, key=merit)


def write_best_workflow(results: Results, path: Path) -> Path:
    """Write the workflow of `best_search`; its test score stands in the header."""
    cell = best_search(results)
    best = cell.result["search"]
    workflow = cell.result["workflows"][best["workflow"]]
    config = results.config
    mark = " (simulated)" if results.simulated else ""
    pool = f", executors={config.env_options['executors']!r}" if config.pool else ""
    header = f'''\
"""Best workflow found for {config.env} with the executor {config.executor_name}{mark}.

Designed by {results.label(cell.algo)}, seed {cell.seed}, meta-agent {config.policy}.
Validation accuracy {100 * best["validation"]:.1f}%, again on fresh draws {100 * best["validation_fresh"]:.1f}%, \
test accuracy {100 * workflow["accuracy"]:.1f}%{mark}.

Run it: python {path.name} "a question" --executor openai:<model>
Without a question it answers a validation item of the benchmark.
"""

'''
    footer = f"""

if __name__ == "__main__":
    from w4s_gym.standalone import main

    main(__file__, env={config.env!r}, executor={config.executor!r}{pool})
"""
    # A workflow may not start with `from __future__`: it would have to stand first. None of ours does.
    path.write_text(header + workflow["source"].strip() + "\n" + footer, encoding="utf-8")
    return path
