"""Rows per second of the regression trainer: packed, unpacked, and against a plain one, on the same models and rows.

    python experiments/bench/training.py
    python experiments/bench/training.py --layers 4      # the large model cut to 4 layers: for busy machines

The plain trainer does what published code does: every row is padded to the maximum length, and the rows of a batch are
passed one by one. The unpacked one batches rows of similar length and computes logits for the targets only; the packed
one also computes what rows share once. All compute the same loss (checked here) in the same precision on the same
number of threads. Two sets of rows: those of a few states of the tiny meta-agent, and states as long as those of a
pretrained meta-agent, on random weights of the shape of Qwen2.5-Coder-0.5B with LoRA.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from w4s_gym.algos.codec import Codec, EncodedRow
from w4s_gym.algos.policies.devices import has_fast_bfloat16
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.policies.tiny.corpus import draw_rows
from w4s_gym.algos.policies.tiny.warmstart import tiny_folder
from w4s_gym.algos.regression import IGNORED, Regression

VOCABULARY = 151_936


@dataclass(frozen=True)
class BenchConfig:
    """Benchmark of training throughput."""

    models: tuple[str, ...] = ("tiny", "large")
    """Which of the two sets to measure."""
    tiny_states: int = 10
    """States of the tiny meta-agent, with 5 rows each."""
    tiny_length: int = 1024
    """Length that the plain trainer pads to: what the rows of a 2-turn window must fit in."""
    states: int = 2
    """States of the large model, with 5 rows each: a prompt of 900 tokens, targets of 120 to 420 tokens."""
    length: int = 2048
    """Length that the plain trainer pads to there."""
    layers: int = 24
    """Layers of the large model."""
    rows_per_step: int = 16
    repeats: int = 3
    """Of the tiny model, after a warm-up; the large one is measured once."""
    threads: int = 1


@dataclass(frozen=True)
class Case:
    """A model and its rows."""

    title: str
    model: Any
    rows: list[EncodedRow]
    length: int
    repeats: int


def tiny_case(config: BenchConfig) -> Case:
    """Rows of states of the tiny meta-agent: its prompts, with 5 of its texts each."""
    policy = HFPolicy(tiny_folder(), "tiny", HFConfig())
    drawn = [row for row in draw_rows(40 * config.tiny_states, 1) if len(row.messages[0]["content"]) > 20]
    rows = [
        EncodedRow(tuple(policy.codec.prompt(state.messages)), tuple(policy.codec.target(other.action)), 1.0 + i)
        for number, state in enumerate(drawn[: config.tiny_states])
        for i, other in enumerate(drawn[5 * number : 5 * number + 5])
    ]
    return Case("tiny meta-agent", policy.model, rows, config.tiny_length, config.repeats)


def large_case(config: BenchConfig) -> Case:
    """Rows of random tokens for random weights of a 0.5B model with LoRA."""
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=VOCABULARY,
            hidden_size=896,
            intermediate_size=4864,
            num_hidden_layers=config.layers,
            num_attention_heads=14,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )
    adapted = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    random = Random(0)
    rows = []
    for _ in range(config.states):
        prompt = tuple(random.randrange(VOCABULARY) for _ in range(900))
        for i, length in enumerate((120, 195, 270, 345, 420)):
            rows.append(EncodedRow(prompt, tuple(random.randrange(VOCABULARY) for _ in range(length)), 1.0 + i))
    title = f"random weights of Qwen2.5-Coder-0.5B's shape, LoRA of rank 8, {config.layers} of 24 layers"
    return Case(title, adapted, rows, config.length, 0)


def plain_step(model: Any, rows: Sequence[EncodedRow], length: int, autocast: bool) -> float:
    """Gradient of the weighted loss of a batch, row by row, each padded on the right to `length`."""
    total = 0.0
    for row in rows:
        padding = length - row.length
        ids = torch.tensor([[*row.prompt, *row.target, *[0] * padding]])
        mask = torch.tensor([[1] * row.length + [0] * padding])
        labels = torch.tensor([IGNORED] * len(row.prompt) + list(row.target) + [IGNORED] * padding)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1].float(), labels[1:], ignore_index=IGNORED)
        (row.weight * loss / len(rows)).backward()
        total += row.weight * loss.item() / len(rows)
    return total


def measure(case: Case, rows_per_step: int) -> Table:
    """Measure the three trainers on a case.

    Raises:
        SystemExit: they do not compute the same loss.
    """
    case.model.train()
    batches = [case.rows[i : i + rows_per_step] for i in range(0, len(case.rows), rows_per_step)]
    optimizer = torch.optim.AdamW([p for p in case.model.parameters() if p.requires_grad], lr=0.0)
    packed = Regression(case.model, Codec(None, 0), packing=True)
    unpacked = Regression(case.model, Codec(None, 0), packing=False)

    def plain() -> float:
        total = 0.0
        for batch in batches:
            optimizer.zero_grad()
            total += plain_step(case.model, batch, case.length, has_fast_bfloat16(torch.device("cpu")))
            torch.nn.utils.clip_grad_norm_(case.model.parameters(), 1.0)
            optimizer.step()
        return total / len(batches)

    def ours(regression: Regression) -> float:
        return sum(regression.step(batch, 0.0)[0] for batch in batches) / len(batches)

    table = Table(title=f"{case.title}; {len(case.rows)} rows, {sum(r.length for r in case.rows)} tokens")
    for name in ("trainer", "rows/s", "to plain", "to unpacked", "loss"):
        table.add_column(name, justify="left" if name == "trainer" else "right")
    runs = {"plain": plain, "unpacked": lambda: ours(unpacked), "packed": lambda: ours(packed)}
    measured = {name: best_seconds(run, case.repeats) for name, run in runs.items()}
    for name, (seconds, loss) in measured.items():
        if abs(loss / measured["plain"][1] - 1) > 0.01:  # the precision is that of training, not of a test
            raise SystemExit(f"the losses differ: {measured}")
        ratios = [measured[other][0] / seconds for other in ("plain", "unpacked")]
        table.add_row(name, f"{len(case.rows) / seconds:.2f}", *(f"{ratio:.1f}" for ratio in ratios), f"{loss:.4f}")
    return table


def best_seconds(run: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Shortest CPU time of several runs after one that warms up (of that one, without repeats), and what they return.

    CPU time does not count what other processes do.
    """
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        value = run()
        times.append(time.process_time() - start)
    return min(times[1:] or times), value


def main() -> None:
    """Measure and print a table for each case."""
    config = tyro.cli(BenchConfig, description=__doc__)
    torch.set_num_threads(config.threads)
    for name, make in (("tiny", tiny_case), ("large", large_case)):
        if name in config.models:
            Console(markup=False).print(measure(make(config), config.rows_per_step))


if __name__ == "__main__":
    main()
