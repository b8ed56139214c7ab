"""Exports a run for a paper: scores, candidates and curves in long form, tables in LaTeX, plots in PDF and SVG."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from w4s_gym.command_line import missing_extra
from w4s_gym.errors import ConfigError
from w4s_gym.journal import RunFolder, read_journal
from w4s_gym.measure import digest
from w4s_gym.study.cells import cell_folder
from w4s_gym.study.figures_file import Figures

Format = Literal["csv", "parquet"]
Row = dict[str, Any]


@dataclass(frozen=True)
class _Finished:
    """A finished cell of any study."""

    facts: Row
    """Columns that tell it apart: variant, designer, seed."""
    folder: Path
    result: Mapping[str, Any]

    def measured(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Its results by benchmark; the name is empty where it has only that of the run."""
        if "targets" in self.result:
            yield from self.result["targets"].items()
        else:
            yield "", self.result


def export_run(folder: RunFolder, figures: Figures, out: Path, kind: Format = "csv") -> list[Path]:
    """Write what a paper needs of a run.

    Args:
        folder: the run, of any study.
        figures: its tables and plots.
        out: folder to write to; it is made.
        kind: format of the data.

    Returns:
        The files: `scores`, `candidates`, `curves`, a `.tex` for each table, `.pdf` and `.svg` for each plot.

    Raises:
        ConfigError: no cell is finished, or the folder cannot be written.
    """
    cells = [_finished(folder, record) for record in folder.records("cell")]
    if not cells:
        raise ConfigError(f"expected at least one finished cell in {folder.path}; there is none yet")
    try:
        out.mkdir(parents=True, exist_ok=True)
        tables = {"scores": _scores, "candidates": _candidates, "curves": _curves}
        written = []
        for name, make in tables.items():
            rows = [{**cell.facts, **row, "simulated": folder.simulated} for cell in cells for row in make(cell)]
            if rows:
                written.append(_write(out / f"{name}.{kind}", rows, kind))
        for number, table in enumerate(figures.tables, start=1):
            name = "".join(letter if letter.isalnum() else "-" for letter in table.title.partition(":")[0].lower())
            path = out / f"table-{number}-{name[:40].strip('-')}.tex"
            path.write_text(table.latex(), encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise ConfigError(f"expected a folder that can be written at {out}: {error.strerror or error}") from error
    return [*written, *figures.draw(out, ("pdf", "svg"))]


def _finished(folder: RunFolder, record: Mapping[str, Any]) -> _Finished:
    facts = {"variant": record["variant"], "designer": record["algo"], "seed": record["seed"]}
    key = (record["variant"], record["algo"], record["seed"])
    return _Finished(facts, cell_folder(folder.path, key), record["result"])


def _scores(cell: _Finished) -> Iterator[Row]:
    """Test score of every item of every workflow that counts: what the search found, what was designed in each episode.

    `turns` is the design budget after which validation selected the workflow. A score is empty where the executor could
    not be asked.
    """
    for benchmark, measured in cell.measured():

        def rows(kind: str, episode: int, turns: int, key: str) -> Iterator[Row]:
            workflow = measured["workflows"][key]  # noqa: B023  (used at once)
            for item, score in zip(workflow["items"], workflow["scores"], strict=True):
                yield {
                    "benchmark": benchmark,  # noqa: B023
                    "kind": kind,
                    "episode": episode,
                    "turns": turns,
                    "workflow": key,
                    "item": item,
                    "score": score,
                }

        if "search" in measured:
            yield from rows("search", 0, 0, measured["search"]["workflow"])
        for number, episode in enumerate(measured.get("design", {}).get("episodes", ())):
            for turns, chosen in episode["selected"].items():
                yield from rows("design", number, int(turns), chosen["workflow"])


def _candidates(cell: _Finished) -> Iterator[Row]:
    """Result of every item of every evaluation, in the order in which they were made."""
    for file in sorted(cell.folder.glob("evaluations*.jsonl")):
        benchmark = file.stem.removeprefix("evaluations").removeprefix("-")
        number = 0
        for record in read_journal(file):
            if record["kind"] != "evaluation":
                continue
            for item, status, score in record["items"]:
                yield {
                    "benchmark": benchmark,
                    "evaluation": number,
                    "part": record["part"],
                    "draw": record["draw"],
                    "workflow": digest(record["workflow"]),
                    "item": item,
                    "status": status,
                    "score": None if status == "infrastructure" else score,
                }
            number += 1


def _curves(cell: _Finished) -> Iterator[Row]:
    """Every figure of every iteration."""
    for iteration, point in enumerate(cell.result["curve"]):
        for name, value in point.items():
            if name != "calls":
                yield {"iteration": iteration, "calls": point["calls"], "figure": name, "value": float(value)}


def _write(path: Path, rows: Sequence[Row], kind: Format) -> Path:
    if kind == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ConfigError(missing_extra(error) or str(error)) from error
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path
