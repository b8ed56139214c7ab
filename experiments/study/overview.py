"""One table over many published runs: benchmark x designer, read from the runs' own `table.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from w4s_gym.errors import ConfigError

BEGIN = "<!-- overview: begin -->"
END = "<!-- overview: end -->"
_TITLE = re.compile(r"# Comparison on W4S-(?P<env>\w+)-v0, executor (?P<executor>\S+?)(?P<simulated> \(simulated\))?,")
_SEEDS = re.compile(r"^(?P<seeds>\d+) seeds?(?: from \d+)?;", re.MULTILINE)
_ABILITY = "Ability to design"
_DIFFERENCES = "Differences at the design budget"


@dataclass(frozen=True)
class PublishedRun:
    """What the overview takes from the `table.md` of one comparison."""

    file: Path
    benchmark: str
    executor: str
    simulated: bool
    seeds: int
    test: dict[str, str]
    """Designer -> test accuracy of its designs in % with its 95% interval, as printed."""
    differences: dict[str, str]
    """`RLAO v SFT` -> test difference in points with its 95% interval, as printed."""


def read_published(path: Path) -> PublishedRun | None:
    """Read the `table.md` of a comparison.

    Args:
        path: the Markdown file.

    Returns:
        None for a page of another kind (a transfer, an ablation, prose).

    Raises:
        ConfigError: it is the page of a comparison, and one of the two tables is not there.
    """
    text = path.read_text(encoding="utf-8")
    title = _TITLE.match(text)
    if title is None:
        return None
    seeds = _SEEDS.search(text)
    if seeds is None:
        raise ConfigError(f"{path}: expected a line that begins with the number of seeds (`5 seeds; ...`)")
    tests = _table(text, _ABILITY, path)
    differences = _table(text, _DIFFERENCES, path)
    return PublishedRun(
        file=path,
        benchmark=title["env"],
        executor=title["executor"],
        simulated=title["simulated"] is not None,
        seeds=int(seeds["seeds"]),
        test={row["designer"]: row["test % [95%]"] for row in tests},
        differences={row["comparison"]: row["test difference, points [95%]"] for row in differences},
    )


def overview(
    runs: Iterable[PublishedRun],
    designers: Sequence[str] = ("untrained", "best seed", "SFT", "RLAO", "GRPO"),
    pairs: Sequence[str] = ("RLAO v untrained", "RLAO v SFT"),
    folder: Path = Path(),
) -> str:
    """Return a Markdown table with a line for each run.

    Args:
        runs: what `read_published` read.
        designers: columns with test accuracies at the design budget.
        pairs: columns with paired differences.
        folder: links are relative to it.
    """
    header = ["run", "executor", "seeds", *designers, *pairs]
    lines = [header, ["---"] * len(header)]
    for run in runs:
        link = run.file.relative_to(folder).as_posix()
        lines.append(
            [
                f"[{run.benchmark}, {run.file.stem}]({link})",
                run.executor + (" (simulated)" if run.simulated else ""),
                str(run.seeds),
                *(run.test.get(name, "") for name in designers),
                *(run.differences.get(name, "") for name in pairs),
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_overview(page: Path) -> None:
    """Put the table of all comparisons in the page's folder between the page's two markers.

    Args:
        page: a Markdown page with a line `BEGIN` and a line `END`.

    Raises:
        ConfigError: a marker is missing.
    """
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ConfigError(f"{page}: expected the lines {BEGIN} and {END}")
    runs = [run for file in sorted(page.parent.glob("*.md")) if (run := read_published(file))]
    runs.sort(key=lambda run: (run.simulated, run.benchmark, run.file.stem))
    page.write_text(f"{head}{begin}\n{overview(runs, folder=page.parent)}\n{end}{tail}", encoding="utf-8")


def _table(text: str, title: str, path: Path) -> list[dict[str, str]]:
    """Return the rows of the table below the heading that starts with `title`, by column."""
    lines = iter(text.splitlines())
    if not any(line.startswith(f"### {title}") for line in lines):
        raise ConfigError(f"{path}: expected a table `### {title} ...`; is it the `table.md` of a finished comparison?")
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            break
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]
