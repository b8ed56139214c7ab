"""A comparison in a script or a notebook, without the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from w4s_gym.journal import RunFolder
from w4s_gym.paths import user_path
from w4s_gym.study.board import console
from w4s_gym.study.cells import Cell, comparison_cells
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.cost import check_cap, plan
from w4s_gym.study.report import ComparisonReport
from w4s_gym.study.results import Results
from w4s_gym.study.resuming import resumed
from w4s_gym.study.runner import check, create_folder, extend_folder, installed, missing, prepare_policies, run_study


class ComparisonResults(Results):
    """Finished cells of a comparison, with their tables."""

    @property
    def table(self) -> str:
        """All tables, in Markdown."""
        return ComparisonReport(self).markdown()

    def _repr_markdown_(self) -> str:
        """Show the tables in a notebook."""
        return self.table


class Comparison:
    """Designers of workflows under the same budget of executor calls.

    Example:
        >>> import tempfile
        >>> from w4s_gym.study import CompareConfig, Comparison
        >>> config = CompareConfig(
        ...     algos=("seed", "random_edits"), seeds=1, budget=30, validation_size=4, test_size=4, workers=0
        ... )
        >>> results = Comparison(config).run(tempfile.mkdtemp(), quiet=True)
        >>> results.algos, results.simulated
        (['seed', 'random_edits'], True)
        >>> results.search_scores("seed").shape  # seeds, 1, test items
        (1, 1, 4)
        >>> print(results.table.splitlines()[0])
        # Comparison on W4S-GSMSymbolic-v0, executor sim:gpt-3.5-turbo (simulated), meta-agent tiny
    """

    def __init__(self, config: CompareConfig | None = None) -> None:
        """Describe a comparison; nothing is run.

        Args:
            config: what is compared. More than 0 `workers` need the usual `if __name__ == "__main__":` around the
                call of `run` in a script, since processes are started.
        """
        self.config = config or CompareConfig()

    @property
    def cells(self) -> list[Cell]:
        """Every designer with every seed."""
        return comparison_cells(self.config)

    def run(self, folder: Path | str, *, quiet: bool = False) -> ComparisonResults:
        """Run what is missing, and write the tables.

        Args:
            folder: run folder; a new one is made, one of the same configuration, but for fewer seeds, designers or
                dollars, is gone on with.
            quiet: show no progress.

        Returns:
            The finished cells; `table` has the tables in Markdown.

        Raises:
            ConfigError: a value that cannot be used, a folder of another run, or no cell that finished.
            KeyboardInterrupt: Ctrl-C; finished cells are kept, and the next call goes on.
        """
        path, output = user_path(folder), Console(quiet=True, markup=False) if quiet else console
        run: RunFolder | None
        if (path / "config.json").exists():
            run = RunFolder.open(path)
            self.config = resumed(run.config, replace(self.config, given=frozenset(self.config.measured)))
        else:
            run = None
        cells = installed(self.cells, output)
        facts = check(cells)
        rest = missing(run, cells) if run else cells
        if self.config.max_dollars and rest:
            check_cap(plan(rest, len(cells)), self.config.max_dollars, len(cells))
        prepare_policies(rest, output)
        if run is None:
            run = create_folder(path, self.config, facts)
        extend_folder(run, self.config)
        run_study(run, cells, self.config, output)
        return self.read(path)

    @staticmethod
    def read(folder: Path | str) -> ComparisonResults:
        """Read a run folder of a comparison and write its tables again.

        Raises:
            ConfigError: there is no run folder, or no cell is finished.
        """
        run = RunFolder.open(folder)
        results = ComparisonResults.of_run(run)
        ComparisonReport(results).write(run.path)
        return results
