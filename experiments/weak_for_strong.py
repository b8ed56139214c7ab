"""A weak model learns to design workflows for a stronger one, on this machine: no key, no network, nothing simulated.

    python experiments/weak_for_strong.py --smoke               # one designer, two updates: minutes
    python experiments/weak_for_strong.py                       # GSM8K; hours on two cores
    python experiments/weak_for_strong.py --env W4S-HumanEval-v0
    python experiments/weak_for_strong.py --resume              # go on with an interrupted run: nothing is asked twice

The meta-agent is Qwen2.5-Coder-0.5B-Instruct with LoRA, sampled by llama.cpp; the executor is
Qwen2.5-Coder-1.5B-Instruct, served by OpenVINO (extras `local`, `openvino`, `experiments`). With a GPU and a key the
same command takes others:

    python experiments/weak_for_strong.py --config experiments/configs/weak-for-strong-7b.yaml --plan

It is `compare_algos.py`, with all its options and other defaults. A weak meta-agent gets what helps it explore
(docs/training.md), the same for every designer. Each of the m candidates of a state is one turn from the seed
workflows. What is tested: four first proposals of each meta-agent, which no drawn request helped to write, and the
search result of each designer; beside them stand the best seed workflow, the executor asked directly, the meta-agent's
own model asked directly (`--alone`), and votes in plain text at the tokens of RLAO's workflow. Two cores give one reply
in several seconds, so replies are short, candidates that can hardly win are given up early, and replies and texts are
kept beside the run folders.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from w4s_gym.command_line import parse
from w4s_gym.journal import RunFolder
from w4s_gym.study.board import console
from w4s_gym.study.cells import Cell, comparison_cells
from w4s_gym.study.command import Study
from w4s_gym.study.config import CompareConfig
from w4s_gym.study.learning import found_table, learning_table
from w4s_gym.study.report import write_report as write_comparison
from w4s_gym.study.results import Results

CACHE = "runs/weak_for_strong_cache"
ENVIRONMENT = {
    "draw": 0,
    "reward": {"kind": "relative"},
    "racing": {"look_every": 8, "limit": 0.01, "archive": 3},
    "requests": True,
    "reject_copies": True,
    "limits": {"item_caps": {"calls": 6}, "in_flight": 32},
    "executor_config": {
        "engine": "openvino",
        "parallel": 32,
        "threads": 2,
        "context": 1536,
        "reply_tokens": 256,
        "cache_folder": f"{CACHE}/replies",
    },
}
"""One draw for all: what was asked once is never asked again. The relative reward grades every candidate, so that a few
of them teach something. `--env-options` add to these or replace them."""
POLICY = {
    "lora_rank": 8,
    "temperature": 0.9,
    "min_p": 0.05,
    "max_new_tokens": 500,
    "prompt_style": "guided",
    "reply_form": "code",
    "threads": 2,
    "texts": f"{CACHE}/texts",
}
"""`--policy-options` add to these or replace them."""
LEARNING = {
    "learning_rate": 5e-4,
    "epochs": 4,
    "replay": 20,
    "rows_per_step": 4,
    "thin": True,
    "tokens_per_pass": 2048,
}
"""Of SFT and RLAO alike; an update takes about two minutes on two cores."""
ALONE = "alone"
"""Variant of the cells that ask the meta-agent's own model."""


@dataclass(frozen=True)
class WeakForStrongConfig(CompareConfig):
    """Let a weak model design workflows for a strong one, and compare with what either does alone."""

    alone: str = "local:qwen2.5-coder-0.5b"
    """Executor spec of the meta-agent's own model, which is asked the test items directly; empty: it is not."""
    smoke: bool = False
    """The same at the smallest size: one designer, two updates, eight items."""


DEFAULT = WeakForStrongConfig(
    env="W4S-GSM8K-v0",
    executor="local:qwen2.5-coder-1.5b",
    policy="hf:qwen2.5-coder-0.5b",
    algos=("rlao", "untrained", "sft", "seed", "direct", "cot_sc"),
    budget=20_000,
    iterations=5,
    candidates=8,
    turns=1,
    design_turns=1,
    design_episodes=4,  # first proposals that nobody asked for: what was learned
    curve_turns=0,
    validation_size=24,
    feedback_items=0,  # the guided prompt shows neither questions nor answers
    test_size=100,
    workers=1,
    algo_options={"sft": LEARNING, "rlao": LEARNING, "cot_sc": {"form": "text"}},
)
SMOKE = {
    "algos": ("rlao",),
    "alone": "",
    "seeds": 1,
    "iterations": 2,
    "candidates": 2,
    "validation_size": 8,
    "test_size": 8,
    "design_episodes": 0,
}
SMOKE_ENVIRONMENT = {"seed_workflows": ["CoT"], "limits": {"item_caps": {"calls": 2}, "in_flight": 32}}


def completed(config: WeakForStrongConfig) -> WeakForStrongConfig:
    """Add the options above to those of the command line, so that the run folder says what was run."""
    if config.smoke:
        config = replace(config, **SMOKE, env_options={**SMOKE_ENVIRONMENT, **config.env_options})
    return replace(
        config,
        env_options={**ENVIRONMENT, **config.env_options},
        policy_options={**POLICY, **config.policy_options},
    )


def cells(config: WeakForStrongConfig) -> list[Cell]:
    """All cells of the comparison, and the meta-agent's own model asked directly."""
    own = replace(config.plain(), executor=config.alone)
    alone = [Cell(own, "direct", seed, ALONE) for seed in config.seed_numbers if config.alone]
    return [*comparison_cells(config), *alone]


def write_report(folder: RunFolder, config: CompareConfig) -> None:
    """Make the report of the comparison, and the tables of what was learned and found."""
    write_comparison(folder, config)
    results = Results.of_run(folder)
    alone = [r for r in folder.records("cell") if r["variant"] == ALONE]
    found = found_table(results, Results.of_run(folder, ALONE) if alone else None)
    learned = learning_table(results)
    if learned is not None:
        learned.show(console)
    found.show(console)
    path = folder.path / "found.md"
    path.write_text(found.markdown(), encoding="utf-8")
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)


WEAK_FOR_STRONG = Study("weak_for_strong", cells, write_report, announce=True)


if __name__ == "__main__":
    given = completed(parse(WeakForStrongConfig, __doc__, DEFAULT))
    sys.exit(replace(WEAK_FOR_STRONG, announce=not given.smoke).run(given))  # a plan asks the executor, too
