"""A run as one HTML page: curves, tables, every workflow, every prompt and text; needs no server and no network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from w4s_gym.action import parse_action
from w4s_gym.algos.trajectory import Row, read_rows
from w4s_gym.errors import DataCorrupt
from w4s_gym.study.best_workflow import best_search
from w4s_gym.study.cells import cell_folder
from w4s_gym.study.item_results import ItemResults, Start
from w4s_gym.study.looks import look_of
from w4s_gym.study.results import CellResult, Results
from w4s_gym.study.stats import wilson
from w4s_gym.study.table import Table


def write_view(results: Results, tables: Sequence[Table], folder: Path, path: Path | None = None) -> Path:
    """Write the page of a comparison.

    Args:
        results: its finished cells.
        tables: its tables.
        folder: the run folder, with the texts of each cell in `cells/<designer>-<seed>/rows.jsonl`.
        path: where to write; by default `view.html` in the run folder.

    Returns:
        The file.
    """
    path = path or folder / "view.html"
    path.write_text(view_page(results, tables, folder), encoding="utf-8", errors="replace")
    return path


def view_page(results: Results, tables: Sequence[Table], folder: Path) -> str:
    """Return the page of a comparison as HTML; see `write_view`."""
    page = files("w4s_gym.study").joinpath("page")
    data = json.dumps(_Page(results, tables, folder).data(), ensure_ascii=False, separators=(",", ":"))
    return Template(page.joinpath("page.html").read_text(encoding="utf-8")).substitute(
        title="w4s-gym run" + (" (simulated)" if results.simulated else ""),
        style=page.joinpath("page.css").read_text(encoding="utf-8"),
        script=page.joinpath("page.js").read_text(encoding="utf-8"),
        # No text of the run can end the script element or begin another one.
        data=data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
    )


class _Pool:
    """Things that occur often, kept once and named by number."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        if value not in self._numbers:
            self._numbers[value] = len(self.values)
            self.values.append(value)
        return self._numbers[value]


class _Page:
    """What the page shows, as plain JSON data."""

    def __init__(self, results: Results, tables: Sequence[Table], folder: Path) -> None:
        self._results, self._tables, self._folder = results, tables, folder
        self._unread: list[str] = []
        self._texts, self._messages, self._items = _Pool(), _Pool(), _Pool()
        self._starts: list[dict[str, Any]] = []

    def data(self) -> dict[str, Any]:
        results = self._results
        rows = list(self._rows())
        config = results.config
        tested = list(self._tested())
        return {
            "title": f"{config.env}, executor {config.executor_name}, meta-agent {config.policy}",
            "simulated": results.simulated,
            "facts": [
                f"{len({cell.seed for cell in results.cells})} seeds",
                f"{config.budget:,} executor calls a designer and seed",
                f"{config.validation_size} validation and {results.items} test items",
                *(f"not shown: {reason}" for reason in self._unread),
            ],
            "labels": {algo: results.label(algo) for algo in results.algos},
            "styles": {algo: asdict(look_of(results, algo)) for algo in results.algos},
            "cells": [{"algo": c.algo, "seed": c.seed, "curve": c.result["curve"]} for c in results.cells],
            "tested": tested,
            "tables": [
                {"title": t.title, "columns": t.columns, "rows": t.rows, "notes": t.notes} for t in self._tables
            ],
            "winner": self._winner(rows),
            "rows": rows,
            "starts": self._starts,
            "items": self._items.values,
            "messages": self._messages.values,
            "texts": self._texts.values,
        }

    def _rows(self) -> Iterator[dict[str, Any]]:
        """Every text of every cell, with its parent: the text whose workflow the state held, or else the start."""
        index = 0
        for cell in self._results.cells:
            folder = cell_folder(self._folder, ("", cell.algo, cell.seed))
            known = self._items_of(folder)
            starts: dict[Start, int] = {}
            held: dict[tuple[int, int], dict[str, Any]] = {}
            for row in self._texts_of(folder / "rows.jsonl"):
                start = known.start(row)
                if start is not None and start not in starts:
                    starts[start] = len(self._starts)
                    self._starts.append(self._start(start, known))
                shown = self._row(row, cell, index)
                source = None if shown["workflow"] is None else self._texts.values[shown["workflow"]]
                shown |= self._outcome(known.find(source, row.accuracy, start.draw if start else None))
                parent = held.get((row.episode, row.turn - 1))
                if parent is not None:
                    shown |= {"parent": parent["index"], "parent_accuracy": parent["accuracy"]}
                    shown["parent_workflow"] = parent["workflow"]
                elif start is not None:
                    shown |= {"start": starts[start], "parent_accuracy": start.accuracy}
                    shown["parent_workflow"] = self._texts.number(start.workflow)
                if row.chosen:  # a workflow that did not run leaves the state as it was
                    now = shown if row.accuracy is not None else parent
                    if now is not None:
                        held[row.episode, row.turn] = now
                yield shown
                index += 1

    def _items_of(self, folder: Path) -> ItemResults:
        try:
            return ItemResults.of_cell(folder)
        except DataCorrupt as error:
            self._unread.append(str(error))
            return ItemResults([])

    def _start(self, start: Start, known: ItemResults) -> dict[str, Any]:
        found = self._outcome(known.find(start.workflow, start.accuracy, start.draw))
        return {"accuracy": start.accuracy, "items": found["items"]}

    def _outcome(self, record: dict[str, Any] | None) -> dict[str, Any]:
        """What failed and how, and the calls of failed items that were kept; None where nobody wrote it down."""
        if record is None:
            return {"items": None, "calls": []}
        told = record.get("failed", {})
        failed = [
            [self._items.number(item), status, score, self._texts.number(told.get(item, ""))]
            for item, status, score in record["items"]
            if score < 1
        ]
        calls = [
            {"item": self._items.number(item), "text": self._texts.number(text)}
            for item, text in record.get("transcripts", {}).items()
        ]
        return {"items": {"count": len(record["items"]), "failed": failed}, "calls": calls}

    def _texts_of(self, file: Path) -> list[Row]:
        """The texts of a cell; the page says which files of earlier versions cannot be read."""
        try:
            return list(read_rows(file)) if file.exists() else []
        except ValueError as error:
            self._unread.append(str(error))
            return []

    def _row(self, row: Row, cell: CellResult, index: int) -> dict[str, Any]:
        workflow = parse_action(row.action).workflow
        size = self._results.config.validation_size
        interval = None if row.accuracy is None else wilson(row.accuracy * size, size)
        return {
            "index": index,
            "algo": cell.algo,
            "seed": cell.seed,
            "episode": row.episode,
            "turn": row.turn,
            "candidate": row.candidate,
            "kind": row.kind,
            "status": row.status,
            "reward": row.reward,
            "accuracy": row.accuracy,
            "interval": None if interval is None else [interval.low, interval.high],
            "new_best": row.new_best,
            "chosen": row.chosen,
            "truncated": row.truncated,
            "parent": None,
            "start": None,
            "parent_accuracy": None,
            "parent_workflow": None,
            "action": self._texts.number(row.action),
            "workflow": None if workflow is None else self._texts.number(workflow),
            "messages": [
                self._messages.number((message["role"], self._texts.number(message["content"])))
                for message in row.messages
            ],
        }

    def _tested(self) -> Iterator[dict[str, Any]]:
        """Every workflow that was tested, with what it spends on an item."""
        for cell in self._results.cells:
            for digest, workflow in cell.result["workflows"].items():
                usage, items = workflow["usage"], len(workflow["items"])
                yield {
                    "algo": cell.algo,
                    "seed": cell.seed,
                    "workflow": digest,
                    "test": workflow["accuracy"],
                    "tokens": (usage["prompt_tokens"] + usage["completion_tokens"]) / items,
                }

    def _winner(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The workflow that validation selects among all searches, as in `best_workflow.py`, and who wrote it."""
        cell = best_search(self._results)
        found = cell.result["search"]
        source = cell.result["workflows"][found["workflow"]]["source"]
        writers = (
            row["index"]
            for row in rows
            if (row["algo"], row["seed"]) == (cell.algo, cell.seed)
            and row["workflow"] is not None
            and self._texts.values[row["workflow"]] == source
        )
        seed_tests = [c.test(c.result["search"]["workflow"]) for c in self._results.cells if c.algo == "seed"] or [
            c.test(c.result["design"]["start"]["workflow"]) for c in self._results.cells if "design" in c.result
        ]
        return {
            "algo": cell.algo,
            "seed": cell.seed,
            "validation": found["validation"],
            "fresh": found["validation_fresh"],
            "test": cell.test(found["workflow"]),
            "tokens": found["tokens_per_item"],
            "source": source,
            "row": next(writers, None),
            "seed_test": sum(seed_tests) / len(seed_tests) if seed_tests else None,
        }
