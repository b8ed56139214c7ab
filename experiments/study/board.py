"""Live progress of a study, and the console that studies print to."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from w4s_gym.study.notices import Notice
from w4s_gym.usage import Usage

console = Console(markup=False)
if not console.is_terminal:
    console = Console(width=110, markup=False)  # tables in log files are not squeezed


class Board:
    """One bar for all cells, with calls, tokens, dollars and time left, and one for each cell that runs."""

    def __init__(self, total: int, done: int, output: Console, *, simulated: bool = False) -> None:
        """Show `done` of `total` cells as finished; a context manager.

        Args:
            total: cells of the study.
            done: those that are finished.
            output: where it is shown.
            simulated: whether costs must be labelled simulated.
        """
        self._bars = Progress(
            TextColumn("{task.description:<18}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[what]:<22}", markup=False),
            TextColumn("{task.fields[cost]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left", markup=False),
            TimeRemainingColumn(),
            console=output,
            speed_estimate_period=3600.0,  # cells tell in jumps: what they do now says little
        )
        self._mark = " (simulated)" if simulated else ""
        self._total = total
        self._done = done
        self._running: dict[str, TaskID] = {}
        self._notices: dict[str, Notice] = {}
        self._spent = Usage()
        """By the cells that ended since the start."""
        self._all = self._bars.add_task("all cells", total=total, completed=done, what=f"{done} of {total}", cost="")

    def __enter__(self) -> Board:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, name: str, notice: Notice) -> None:
        """Show what a cell is doing."""
        if name not in self._running:
            self._running[name] = self._bars.add_task(name, total=1.0, what="", cost="")
        self._notices[name] = notice
        cost = self._cost(notice.usage)
        self._bars.update(self._running[name], completed=notice.share, what=notice.what, cost=cost)
        self._show_all()

    def end(self, name: str, error: str) -> None:
        """Take a cell that has ended off the board; `error` says why it has no result, if so."""
        if name in self._running:
            self._bars.remove_task(self._running.pop(name))
            self._spent = self._spent + self._notices.pop(name).usage
        self._done += not error
        self._show_all()
        self._bars.console.print(
            f"{name}: {f'FAILED, {error}' if error else 'finished'}", highlight=False, markup=False
        )

    def _show_all(self) -> None:
        running = list(self._notices.values())
        self._bars.update(
            self._all,
            completed=self._done + sum(notice.share for notice in running),
            what=f"{self._done} of {self._total}",
            cost=self._cost(sum((notice.usage for notice in running), self._spent)),
        )

    def _cost(self, usage: Usage) -> str:
        if not usage.calls:
            return ""
        price = "$?" if usage.dollars is None else f"${usage.dollars:.2f}"
        return f"{usage.calls:,} calls, {usage.tokens:,} tokens, {price}{self._mark}"
