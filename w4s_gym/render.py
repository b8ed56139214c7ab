"""Rendering an episode as text."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from w4s_gym.quoting import one_line, printable
from w4s_gym.state import DesignState

WIDTH = 100
"""Characters per line."""


def render_episode(state: DesignState, split: str) -> str:
    """Show the current workflow, the accuracy history and the last failures.

    Args:
        state: the state to show.
        split: hash of the split.
    """
    out = StringIO()
    console = Console(file=out, width=WIDTH, color_system=None, markup=False)
    card = state.card
    label = " (simulated)" if card.simulated else ""
    console.print(
        Text(
            f"{card.benchmark} with {card.executor}{label}: turn {state.turn} of {card.max_turns}, split {split}\n"
            f"validation {card.metric}{label}: current {state.accuracy:.3f}, best {state.best:.3f}"
            + (f"\nless {card.price}: current {state.value:.3f}, best {state.best_value:.3f}" if card.price else "")
        )
    )
    table = Table("attempt", f"{card.metric}{label}", "reward", "", width=WIDTH)
    for attempt in state.history:
        measured = attempt.accuracy is not None
        bar = "#" * round(40 * (attempt.accuracy or 0.0))
        reward = "" if attempt.is_seed else f"{attempt.reward:.2f}"
        table.add_row(attempt.name, f"{attempt.accuracy:.3f}" if measured else "skipped", reward, bar)
    console.print(table)
    console.print(Panel(Syntax(printable(state.workflow.strip()), "python", word_wrap=True), title="current workflow"))
    if state.repair is not None:
        console.print(
            Panel(Text(one_line(state.repair.text(), 800)), title=f"waits for a repair ({state.repairs_left} left)")
        )
    for case in state.cases:
        lines = [("question", case.question, 300), ("answer", case.answer, 120), ("correct", case.gold, 120)]
        text = "\n".join(f"{name}: {_short(value, limit)}" for name, value, limit in lines)
        console.print(Panel(Text(text), title="failure"))
    return out.getvalue()


def _short(text: str, limit: int) -> str:
    """One line of at most `limit` characters, control characters shown as spaces."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."
