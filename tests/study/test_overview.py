"""The table over all published runs says what the runs' own tables say."""

from __future__ import annotations

from pathlib import Path

import pytest

from w4s_gym.errors import ConfigError
from w4s_gym.study.overview import BEGIN, END, overview, read_published, write_overview

RESULTS = Path(__file__).parents[2] / "docs" / "results"
PAGE = """\
# Comparison on W4S-MGSM-v0, executor sim:gpt-3.5-turbo (simulated), meta-agent tiny

7 seeds; budget of 10 executor calls.

### Ability to design: 2 turns (simulated)

| designer | val. % | test % [95%] |
|---|---|---|
| untrained | 1.0 | 2.0 [1.0, 3.0] |
| RLAO | 4.0 | 5.0 [4.0, 6.0] |

A note.

### Differences at the design budget, paired over items (simulated)

| comparison | test difference, points [95%] | probability of improvement [95%] |
|---|---|---|
| RLAO v untrained | +3.0 [+2.0, +4.0] | 0.9 [0.8, 1.0] |
"""


def test_a_run_is_read_as_it_was_printed(tmp_path: Path) -> None:
    (tmp_path / "run.md").write_text(PAGE)
    run = read_published(tmp_path / "run.md")
    assert run is not None
    assert (run.benchmark, run.executor, run.simulated, run.seeds) == ("MGSM", "sim:gpt-3.5-turbo", True, 7)
    assert run.test == {"untrained": "2.0 [1.0, 3.0]", "RLAO": "5.0 [4.0, 6.0]"}
    line = overview([run], folder=tmp_path).splitlines()[-1]
    assert line.startswith("| [MGSM, run](run.md) | sim:gpt-3.5-turbo (simulated) | 7 | 2.0 [1.0, 3.0] |  |")
    assert line.endswith("| +3.0 [+2.0, +4.0] |  |")


def test_the_seeds_of_a_run_need_not_begin_with_0(tmp_path: Path) -> None:
    (tmp_path / "run.md").write_text(PAGE.replace("7 seeds;", "7 seeds from 100;"))
    run = read_published(tmp_path / "run.md")
    assert run is not None and run.seeds == 7


def test_a_page_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "prose.md").write_text("# Results\n")
    assert read_published(tmp_path / "prose.md") is None


@pytest.mark.parametrize("missing", ["### Ability", "### Differences", "7 seeds;"])
def test_a_comparison_without_a_part_is_refused_by_name(tmp_path: Path, missing: str) -> None:
    (tmp_path / "run.md").write_text(PAGE.replace(missing, "lost"))
    with pytest.raises(ConfigError, match=r"run\.md: expected"):
        read_published(tmp_path / "run.md")


def test_a_page_without_markers_is_refused_and_kept(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(f"{BEGIN}\n")
    with pytest.raises(ConfigError, match="overview: end"):
        write_overview(page)
    assert page.read_text() == f"{BEGIN}\n"
    assert END not in page.read_text()


@pytest.mark.parametrize("page", sorted(RESULTS.glob("**/README.md")), ids=lambda page: page.parent.name)
def test_the_published_table_is_the_one_the_command_makes(page: Path, tmp_path: Path) -> None:
    for file in page.parent.glob("*.md"):
        (tmp_path / file.name).write_text(file.read_text())
    write_overview(tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == page.read_text()


def test_the_results_page_is_read_in_a_minute() -> None:
    assert len((RESULTS / "README.md").read_text().splitlines()) <= 60
