"""Live progress of a study, and the console that studies print to."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from w4s_gym.study.notices import Notice

console = Console(markup=False)
if not console.is_terminal:
    console = Console(width=110, markup=False)  # tables in log files are not squeezed


class Board:
    """One bar for all cells, one for each that runs."""

    def __init__(self, total: int, done: int, output: Console) -> None:
        """Show `done` of `total` cells as finished; a context manager."""
        self._bars = Progress(
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[what]:<22}", markup=False),
            TimeElapsedColumn(),
            console=output,
        )
        self._all = self._bars.add_task("all cells", total=total, completed=done, what=f"{done} of {total}")
        self._total = total
        self._done = done
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> Board:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, name: str, notice: Notice) -> None:
        """Show what a cell is doing."""
        if name not in self._running:
            self._running[name] = self._bars.add_task(name, total=1.0, what=notice.what)
        self._bars.update(self._running[name], completed=notice.share, what=notice.what)

    def end(self, name: str, error: str) -> None:
        """Take a cell that has ended off the board; `error` says why it has no result, if so."""
        if name in self._running:
            self._bars.remove_task(self._running.pop(name))
        self._done += not error
        self._bars.update(self._all, completed=self._done, what=f"{self._done} of {self._total}")
        self._bars.console.print(
            f"{name}: {f'FAILED, {error}' if error else 'finished'}", highlight=False, markup=False
        )
