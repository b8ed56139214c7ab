"""A table of text whose figures keep their full precision: in Markdown, in LaTeX, on the console, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True)
class Number:
    """A figure of a table: as it is printed, and as it is, in the same unit."""

    text: str
    value: float | None
    """None: not known."""
    low: float | None = None
    """Ends of the 95% interval, where there is one."""
    high: float | None = None


@dataclass
class Table:
    """A table of text."""

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cells: list[list[str | Number]] = field(default_factory=list)
    """What was added: rows with the figures behind their texts."""

    def add(self, *cells: str | Number) -> None:
        """Add a row.

        Raises:
            ValueError: it has not one cell per column.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: expected {len(self.columns)} cells; got {len(cells)}: {cells}")
        self.cells.append(list(cells))
        self.rows.append([cell.text if isinstance(cell, Number) else cell for cell in cells])

    def markdown(self) -> str:
        """Write it in Markdown."""
        lines = [f"### {self.title}", "", "| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *(f"{note}\n" for note in self.notes)])

    def data(self) -> dict[str, Any]:
        """Return plain JSON data; figures are objects of `text`, `value` and, with an interval, `low` and `high`."""
        return {"title": self.title, "columns": self.columns, "rows": [_plain(row) for row in self.cells],
                "notes": self.notes}  # fmt: skip

    @classmethod
    def of_data(cls, data: Mapping[str, Any]) -> Self:
        """Read what `data` returned."""
        table = cls(data["title"], data["columns"], notes=data["notes"])
        for row in data["rows"]:
            table.add(*(cell if isinstance(cell, str) else Number(**cell) for cell in row))
        return table

    def latex(self) -> str:
        r"""Write it in LaTeX, for the package booktabs; the notes stand below it in a comment each."""
        columns = "l" + "r" * (len(self.columns) - 1)
        lines = [f"% {_one_line(self.title)}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
        lines += [" & ".join(map(_tex, self.columns)) + r" \\", r"\midrule"]
        lines += [" & ".join(map(_tex, row)) + r" \\" for row in self.rows]
        lines += [r"\bottomrule", r"\end{tabular}", *(f"% {_one_line(note)}" for note in self.notes)]
        return "\n".join(lines) + "\n"

    def show(self, console: Console) -> None:
        """Print it."""
        table = RichTable(
            title=self.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number > 0)
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        for note in self.notes:
            console.print(note, style="dim")
        console.print()


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def _tex(text: str) -> str:
    escaped = "".join(_TEX.get(character, character) for character in _one_line(text))
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped  # else taken for an option of the line before


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _plain(row: list[str | Number]) -> list[str | dict[str, Any]]:
    return [
        cell
        if isinstance(cell, str)
        else {"text": cell.text, "value": cell.value}
        | ({} if cell.low is None else {"low": cell.low, "high": cell.high})
        for cell in row
    ]
