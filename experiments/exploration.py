"""What does an untrained meta-agent propose, and by which means does it find what is better than the seed workflows?

    python experiments/exploration.py                                              # simulated executor
    python experiments/exploration.py --executor local:qwen2.5-coder-1.5b --out runs/exploration-real

Every cell is one set of means (`CELLS`): a prompt style, the form of the reply, drawn requests, copies sent back,
sampling. In each the same policy writes `--proposals` candidates for the first state of an episode, repairs them as the
environment allows, and the candidates are measured. The table says which share of them parses, differs from what the
state shows, runs, asks the executor, and beats the best seed workflow. No means says anything about a benchmark.

The folder keeps proposals, finished cells and, for a real executor, its replies: the same command goes on after it was
interrupted, and asks nothing twice.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro
from rich.console import Console

import w4s_gym  # noqa: F401  (registers the environments)
from w4s_gym.action import parse_action
from w4s_gym.algos import make_policy
from w4s_gym.algos.policies.base import write_candidates
from w4s_gym.algos.seeding import derive_seed
from w4s_gym.env import WorkflowDesignEnv
from w4s_gym.errors import ConfigError, W4SError
from w4s_gym.messages import Message
from w4s_gym.normal_form import normal_form
from w4s_gym.options import json_object
from w4s_gym.paths import expand_arguments
from w4s_gym.results import Candidate
from w4s_gym.study.table import Table

_GUIDED = {"prompt_style": "guided"}
_CODE = {"reply_form": "code"}
CELLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "published": ({"prompt_style": "full"}, {}),
    "guided": (_GUIDED, {}),
    "guided, code": (_GUIDED, _CODE),
    "guided, code, requests": ({**_GUIDED, "requests": True}, _CODE),
    "guided, code, requests, no copies": ({**_GUIDED, "requests": True, "reject_copies": True}, _CODE),
    "guided, code, requests, no copies, min-p": (
        {**_GUIDED, "requests": True, "reject_copies": True},
        {**_CODE, "temperature": 1.0, "min_p": 0.1},
    ),
}
"""Name -> (options of the environment, options of the policy)."""


@dataclass(frozen=True)
class ExplorationConfig:
    """Measure what an untrained meta-agent proposes."""

    env: str = "W4S-GSM8K-v0"
    """Environment id."""
    executor: str = "sim:gpt-3.5-turbo"
    """The executor; with a simulated one the table says so."""
    env_options: str = '{"validation_size": 32}'
    """Options of `gym.make` for all cells, as JSON."""
    policy: str = "hf:qwen2.5-coder-0.5b"
    """The meta-agent."""
    policy_options: str = '{"lora_rank": 8, "temperature": 0.8, "max_new_tokens": 600}'
    """Options of `make_policy` for all cells, as JSON."""
    cells: tuple[str, ...] = tuple(CELLS)
    """Names of the cells to measure, in this order."""
    proposals: int = 24
    """Candidates of a cell."""
    seed: int = 0
    out: Path = Path("runs/exploration")
    """Folder of proposals, finished cells and replies."""


@dataclass(frozen=True)
class Shares:
    """How many of a cell's candidates did what."""

    candidates: int
    parses: int
    """First attempts that hold a workflow."""
    differs: int
    """First attempts whose workflow is none that the state shows."""
    runs_at_once: int
    """First attempts that pass the self-test."""
    runs: int
    """The same, repairs included."""
    asks: int
    """Measured candidates that asked the executor."""
    distinct: int
    """Different workflows among those that were measured."""
    new_best: int
    """Measured candidates that beat the best seed workflow."""
    best: float
    """Accuracy of the best candidate; 0 if none was measured."""
    seed_best: float
    """Accuracy of the best seed workflow."""


def count_shares(candidates: Sequence[Candidate], shown: Sequence[str], seed_best: float) -> Shares:
    """Count what the candidates of one state did.

    Args:
        candidates: the candidates; those that could not be measured are left out.
        shown: sources of the workflows of the state.
        seed_best: accuracy of the best of them.
    """
    known = {normal_form(source) for source in shown}
    usable = [c for c in candidates if c.status != "infrastructure"]
    first = [parse_action(c.attempts[0][1]).workflow for c in usable]
    measured = [c for c in usable if c.evaluation is not None]
    return Shares(
        candidates=len(usable),
        parses=sum(source is not None for source in first),
        differs=sum(source is not None and normal_form(source) not in known for source in first),
        runs_at_once=sum(c.repairs == 0 for c in measured),
        runs=len(measured),
        asks=sum(c.evaluation is not None and c.evaluation.usage.calls > 0 for c in measured),
        distinct=len({normal_form(c.workflow) for c in measured}),
        new_best=sum(c.new_best for c in measured),
        best=max((c.accuracy or 0.0 for c in measured), default=0.0),
        seed_best=seed_best,
    )


def measure_cell(config: ExplorationConfig, name: str) -> Shares:
    """Sample and measure one cell, or read it if it is finished."""
    folder = config.out / name.replace(", ", "-").replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    finished = folder / "shares.json"
    if finished.exists():
        return Shares(**json.loads(finished.read_text(encoding="utf-8")))
    env_options, policy_options = CELLS[name]
    options = {**json_object("env_options", config.env_options), **env_options}
    if not config.executor.startswith("sim:"):
        caching = {"cache_folder": str(config.out / "replies")}
        options["executor_config"] = {**caching, **options.get("executor_config", {})}
    env = gym.make(config.env, executor=config.executor, disable_env_checker=True, **options).unwrapped
    assert isinstance(env, WorkflowDesignEnv)
    policy = make_policy(config.policy, **{**json_object("policy_options", config.policy_options), **policy_options})
    try:
        env.reset(seed=config.seed)
        chats = env.candidate_messages(config.proposals + 1)[1:]  # the first one gets no request
        written = folder / "written.json"
        if not written.exists():
            texts = [s.text for s in write_candidates(policy, [chats], derive_seed("exploration", config.seed))[0]]
            written.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
        calls = 0

        def repair(failed: list[list[Message]]) -> list[str]:
            nonlocal calls
            calls += 1
            seed = derive_seed("repair", config.seed, calls)
            return [s.text for (s,) in write_candidates(policy, [[chat] for chat in failed], seed)]

        candidates = env.evaluate_candidates(json.loads(written.read_text(encoding="utf-8")), repair, chats)
        shares = count_shares(candidates, [a.workflow for a in env.state.history], env.state.best)
        (folder / "candidates.json").write_text(
            json.dumps([_view(c) for c in candidates], ensure_ascii=False, indent=1), encoding="utf-8"
        )
        finished.write_text(json.dumps(shares.__dict__), encoding="utf-8")
        return shares
    finally:
        env.close()
        close = getattr(policy, "close", None)
        if close is not None:
            close()


def share_table(config: ExplorationConfig, cells: Mapping[str, Shares]) -> Table:
    """Write the shares of all cells, each with its standard error."""
    simulated = " (simulated)" if config.executor.startswith("sim:") else ""
    table = Table(
        f"{config.policy} on {config.env}, executor {config.executor}{simulated}: shares of proposals, in %",
        ["means", "n", "parse", "new", "run at once", "run", "ask", "distinct", "beat the best", "best v seed"],
        notes=["± is the standard error of a share. new: differs from what was shown. run: repairs included."],
    )
    for name, s in cells.items():
        parts = (s.parses, s.differs, s.runs_at_once, s.runs, s.asks, s.distinct, s.new_best)
        figures = [_share(part, s.candidates) for part in parts]
        table.add(name, str(s.candidates), *figures, f"{s.best:.3f} v {s.seed_best:.3f}")
    return table


def _share(part: int, whole: int) -> str:
    if whole == 0:
        return "-"
    p = part / whole
    return f"{100 * p:.0f} ± {100 * math.sqrt(p * (1 - p) / whole):.0f}"


def _view(candidate: Candidate) -> dict[str, Any]:
    return {
        "texts": [text for _, text in candidate.attempts],
        "status": candidate.status,
        "error": candidate.error.text() if candidate.error else "",
        "accuracy": candidate.accuracy,
        "copies": candidate.copies,
        "new_best": candidate.new_best,
        "calls": candidate.evaluation.usage.calls if candidate.evaluation else 0,
    }


def main() -> int:
    """Measure the cells and print their table after each; returns the exit code."""
    config = tyro.cli(ExplorationConfig, args=expand_arguments(sys.argv[1:]), description=__doc__)
    console = Console(width=200, markup=False)
    try:
        unknown = [name for name in config.cells if name not in CELLS]
        if unknown or config.proposals < 1:
            known = ", ".join(map(repr, CELLS))
            raise ConfigError(f"expected proposals >= 1 and cells among {known}; got {unknown or config.proposals}")
        config.out.mkdir(parents=True, exist_ok=True)
        cells: dict[str, Shares] = {}
        for name in config.cells:
            cells[name] = measure_cell(config, name)
            table = share_table(config, cells)
            (config.out / "table.md").write_text(table.markdown(), encoding="utf-8")
            table.show(console)
    except W4SError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
