"""Rows per second of the regression trainer against a plain one, on the same model and rows.

    python experiments/bench/training.py

The plain trainer does what published code does: every row is padded to the maximum length, and the rows of a batch are
passed one by one. Both compute the same loss (checked here) in the same precision on the same number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro
from rich.console import Console
from rich.table import Table

from w4s_gym.algos.codec import EncodedRow, WeightedText
from w4s_gym.algos.policies.devices import has_fast_bfloat16
from w4s_gym.algos.policies.hf import HFConfig, HFPolicy
from w4s_gym.algos.policies.tiny.corpus import draw_rows
from w4s_gym.algos.policies.tiny.warmstart import tiny_folder
from w4s_gym.algos.regression import IGNORED, Regression
from w4s_gym.algos.rlao import RLAO, RLAOConfig


@dataclass(frozen=True)
class BenchConfig:
    """Benchmark of training throughput."""

    rows: int = 48
    """Rows of one measurement."""
    rows_per_step: int = 16
    max_length: int = 1024
    """Length that the plain trainer pads to: what the rows of a 2-turn window must fit in."""
    repeats: int = 3
    threads: int = 1


def plain_step(model: torch.nn.Module, rows: list[EncodedRow], pad: int, max_length: int, autocast: bool) -> float:
    """Gradient of the weighted loss of a batch, row by row, each padded on the right to `max_length`."""
    total = 0.0
    for row in rows:
        padding = max_length - row.length
        ids = torch.tensor([[*row.prompt, *row.target, *[pad] * padding]])
        mask = torch.tensor([[1] * row.length + [0] * padding])
        labels = torch.tensor([IGNORED] * len(row.prompt) + list(row.target) + [IGNORED] * padding)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1].float(), labels[1:], ignore_index=IGNORED)
        (row.weight * loss / len(rows)).backward()
        total += row.weight * loss.item() / len(rows)
    return total


def main() -> None:
    """Measure both and print a table."""
    config = tyro.cli(BenchConfig, description=__doc__)
    torch.set_num_threads(config.threads)
    policy = HFPolicy(tiny_folder(), "tiny", HFConfig())
    policy.model.train()
    drawn = [row for row in draw_rows(8 * config.rows, 1) if len(row.messages[0]["content"]) > 20][: config.rows]
    texts = [WeightedText(row.messages, row.action, 1.0 + i % 3) for i, row in enumerate(drawn)]
    rows = [policy.codec.encode(text) for text in texts]
    rlao = RLAO(policy, RLAOConfig(learning_rate=0.0, rows_per_step=config.rows_per_step))
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=0.0)
    pad = policy.tokenizer.pad_token_id

    exact = Regression(policy.model, policy.codec, bfloat16=False)
    batched = exact.loss(rows[:4]).item()
    one_by_one = plain_step(policy.model, rows[:4], pad, config.max_length, autocast=False)
    if abs(batched - one_by_one) > 1e-5:
        raise SystemExit(f"the two losses differ: {batched} and {one_by_one}")

    def plain() -> None:
        for start in range(0, len(rows), config.rows_per_step):
            optimizer.zero_grad()
            part = rows[start : start + config.rows_per_step]
            plain_step(policy.model, part, pad, config.max_length, has_fast_bfloat16(policy.device))
            torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
            optimizer.step()

    def ours() -> None:
        rlao.fit(texts, 0)

    speeds = {name: len(rows) / best_seconds(run, config.repeats) for name, run in (("plain", plain), ("ours", ours))}
    table = Table(title=f"{len(rows)} rows, mean {sum(r.length for r in rows) / len(rows):.0f} tokens")
    table.add_column("trainer")
    table.add_column("rows/s", justify="right")
    table.add_column("ratio", justify="right")
    for name, speed in speeds.items():
        table.add_row(name, f"{speed:.1f}", f"{speed / speeds['plain']:.1f}")
    Console(markup=False).print(table)
    print(f"loss of both on 4 rows: {batched:.6f} and {one_by_one:.6f}")


def best_seconds(run: Callable[[], None], repeats: int) -> float:
    """Shortest CPU time of several runs, after one that warms up: it does not count what other processes do."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
