"""What the learners would learn from, on rows that finished runs left; nothing is trained.

    python experiments/mechanism.py runs/<folder>            # of a comparison or of train.py
    python experiments/mechanism.py runs/a runs/b --policy hf:Qwen/Qwen2.5-Coder-0.5B --out mechanism.md

The same rows are weighed by each learner under each kind of reward, update by update. Rows say what they earned, what
accuracy they had, and whether they were a new best. With a graded reward that tells what they would have earned under
the other kinds; rows that earned tiers are shown under tiers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import get_args

import numpy as np
import tyro
from rich.console import Console

from w4s_gym.algos import make_policy
from w4s_gym.algos.group_rlao import GroupRLAO, program_of
from w4s_gym.algos.mechanism import effective_rows, groups_with_spread, new_best_weight
from w4s_gym.algos.policies.base import Policy
from w4s_gym.algos.rlao import RLAO
from w4s_gym.algos.sft import SFT
from w4s_gym.algos.trajectory import Row, read_rows
from w4s_gym.command_line import guarded, parse
from w4s_gym.errors import ConfigError
from w4s_gym.paths import user_path
from w4s_gym.reward import BEAT_LAST, NEW_BEST, NOTHING, RewardKind, RewardRule
from w4s_gym.study.formats import percent, plain
from w4s_gym.study.table import Table

LEARNERS = (RLAO, SFT, GroupRLAO)
TOLERANCE = 1e-6
"""Rows of a state must agree on the best accuracy before it by this much; with a best of 0, or a floor, they do not."""


@dataclass(frozen=True)
class MechanismConfig:
    """Show what learners would learn from."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders: every `rows.jsonl` in them is played again by itself."""
    policy: str = "tiny"
    """The meta-agent for which the learners have their settings."""
    out: Path | None = None
    """File for the table."""

    def run(self) -> int:
        """Print the table."""
        files = [file for run in self.runs for file in sorted(user_path(run).rglob("rows.jsonl"))]
        if not files:
            raise ConfigError(f"expected rows.jsonl in a run folder; there is none in {', '.join(map(str, self.runs))}")
        table = mechanism_table([episodes(list(read_rows(file))) for file in files], make_policy(self.policy))
        table.show(Console(width=160, markup=False))
        if self.out is not None:
            self.out.write_text(table.markdown(), encoding="utf-8")
        return 0


def episodes(rows: Sequence[Row]) -> list[list[Row]]:
    """Cut the rows of a run into its episodes."""
    return [list(part) for _, part in groupby(rows, key=lambda row: row.episode)]


def rewarded(rows: Sequence[Row], kind: RewardKind) -> list[Row] | None:
    """Return the rows of an episode with what they earn under another kind of reward, without floor and price.

    Args:
        rows: of one episode, turn by turn.
        kind: of the reward.

    Returns:
        None if the rows do not say it: they earned tiers, or nothing in a state solved anything, or nothing did before.
    """
    if all(row.reward_kind == kind for row in rows):
        return list(rows)
    if kind == "tiers":
        return list(_tiers(rows))
    rule, found = RewardRule(kind), []
    for _, part in groupby(rows, key=lambda row: row.turn):
        state = list(part)
        told = [known for row in state if (known := _best_before(row)) is not None]
        if not told or max(told) - min(told) > TOLERANCE:
            return None
        best = told[0]
        for row in state:
            reward = rule.failure if row.accuracy is None else rule(row.accuracy, best, best)
            found.append(replace(row, reward_kind=kind, reward=None if row.reward is None else reward))
    return found


def _tiers(rows: Sequence[Row]) -> Iterator[Row]:
    # An episode starts from its best workflow, so that nothing beats the last one alone in the first turn.
    last = {row.turn + 1: row.accuracy for row in rows if row.chosen}
    for row in rows:
        before = last.get(row.turn)
        beats = row.accuracy is not None and before is not None and row.accuracy > before
        tier = NEW_BEST if row.new_best else BEAT_LAST if beats else NOTHING
        yield replace(row, reward_kind="tiers", reward=None if row.reward is None else tier)


def _best_before(row: Row) -> float | None:
    """The best accuracy before a row, if its reward says it."""
    if not row.accuracy or row.reward is None:
        return None
    if row.reward_kind == "gain":
        return row.accuracy - row.reward
    return row.accuracy / (1 + row.reward) if row.reward_kind == "relative" else None


def mechanism_table(runs: Sequence[Sequence[Sequence[Row]]], policy: Policy) -> Table:
    """Return the figures of each learner and update under each kind of reward, means over runs.

    Args:
        runs: rows by run and episode.
        policy: whose settings the learners take.
    """
    simulated = any(row.simulated for run in runs for episode in run for row in episode)
    kinds = sorted({row.reward_kind for run in runs for episode in run for row in episode})
    table = Table(
        f"What updates would learn from{' (simulated)' if simulated else ''}",
        ["reward", "learner", "update", "runs", "rows", "eff. rows", "share %", "weight on new bests %", "spread %",
         "imitated acc. %", "known %"],
    )  # fmt: skip
    unknown, known_programs = 0, measured([row for run in runs for episode in run for row in episode])
    for kind in get_args(RewardKind):
        found = [[rewarded(episode, kind) for episode in run] for run in runs]
        unknown += sum(episode is None for run in found for episode in run)
        known = [[episode for episode in run if episode is not None] for run in found]
        for learner in LEARNERS:
            played = [update_figures(learner(policy), run, known_programs) for run in known]
            for number in range(max(map(len, played), default=0)):
                figures = [run[number] for run in played if number < len(run)]
                columns = [[figure for figure in column if figure is not None] for column in zip(*figures, strict=True)]
                means = [float(np.mean(column)) if column else None for column in columns]
                table.add(
                    kind,
                    learner.name,
                    str(number + 1),
                    str(len(figures)),
                    *(plain(mean, ".1f") for mean in means[:2]),
                    *("" if mean is None else percent(mean) for mean in means[2:]),
                )
    table.notes.append(
        f"Rows that earned {', '.join(kinds)}; an update is on one episode and replayed rows, with the settings of "
        f"{policy.name}. Rows: those passed. Eff. rows: Kish's effective sample size of their weights, share: of the "
        "rows passed. Spread: states of the episode whose first attempts did not all earn the same. "
        "Imitated: validation accuracy of the programs that the weights imitate, of each the mean over draws of the "
        "executor on which the run has not seen it (in other runs, or later); known: share of the weights for which "
        "there are some."
        + (f" Left out: {unknown} episodes whose rows do not say what they would have earned." if unknown else "")
    )
    return table


Draw = tuple[str, int]
"""What an episode was measured on: seed and number of the episode, alike for all designers."""
Program = tuple[str, str]
"""A benchmark, and what tells programs for it apart."""
Measured = Mapping[Program, Mapping[Draw, list[float]]]
"""Program -> draw -> accuracies, 0 where it did not run."""


def measured(rows: Sequence[Row]) -> Measured:
    """Return all that is known about every program."""
    found: dict[Program, dict[Draw, list[float]]] = {}
    for row in rows:
        if row.reward is not None:
            found.setdefault(_program(row), {}).setdefault(_draw(row), []).append(row.accuracy or 0.0)
    return found


def _program(row: Row) -> Program:
    return row.benchmark, program_of(row.action)


def _draw(row: Row) -> Draw:
    return row.run.rpartition("/")[2], row.episode


def update_figures(learner: RLAO, run: Sequence[Sequence[Row]], known: Measured) -> list[tuple[float | None, ...]]:
    """Return the figures of each update.

    Args:
        learner: weighs the rows; it is not trained.
        run: its rows by episode.
        known: about the programs, from all runs.

    Returns:
        For each update rows, effective rows, their share, weight on new bests, groups with spread; the accuracy of what
        the weights imitate, on draws on which the run did not see it, and the share of the weights for which there are
        some (None if there is no weight).
    """
    figures: list[tuple[float | None, ...]] = []
    seen: dict[Program, set[Draw]] = {}
    for rows in run:
        for row in rows:
            seen.setdefault(_program(row), set()).add(_draw(row))
        chosen = learner.choose(rows)
        weights = [text.weight for _, text in chosen]
        effective = effective_rows(weights)
        share = effective / max(1, len(chosen))
        best = new_best_weight([row for row, _ in chosen], weights)
        judged = [(text.weight, _elsewhere(_program(row), seen, known)) for row, text in chosen]
        told = [(weight, accuracy) for weight, accuracy in judged if accuracy is not None]
        total, covered = sum(weights), sum(weight for weight, _ in told)
        imitated = sum(weight * accuracy for weight, accuracy in told) / covered if covered else None
        figures.append(
            (
                float(len(chosen)),
                effective,
                share,
                best,
                groups_with_spread(rows),
                imitated,
                covered / total if total else None,
            )
        )
        learner.remember(rows)
    return figures


def _elsewhere(program: Program, seen: Mapping[Program, set[Draw]], known: Measured) -> float | None:
    """Return the mean accuracy of a program over the draws on which a run has not seen it."""
    others = [sum(a) / len(a) for draw, a in known[program].items() if draw not in seen[program]]
    return sum(others) / len(others) if others else None


if __name__ == "__main__":
    raise SystemExit(guarded(parse(MechanismConfig, __doc__).run))
