"""Tokens per second of m workflow proposals: llama.cpp against transformers `generate`, the same weights in one run.

    python experiments/bench/sampler.py                                   # the 0.5B model, if its file is at hand
    python experiments/bench/sampler.py --policy hf:smollm2-135m

Both write `candidates` texts of up to `tokens` tokens for the first state of an episode, from a policy whose LoRA
adapters are not zero. They take turns, and the best of `repeats` turns counts. The time that the server needs to start
with new adapters, once per update, is told apart.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import tyro

from w4s_gym.algos import make_policy
from w4s_gym.algos.policies.hf import HFPolicy
from w4s_gym.algos.policies.llama_cpp import LlamaCppPolicy
from w4s_gym.env import WorkflowDesignEnv

GOAL = 8.0


@dataclass(frozen=True)
class Options:
    """Options of the command line."""

    policy: str = "hf:qwen2.5-coder-0.5b"
    """A policy on a GGUF file."""
    candidates: int = 5
    """Texts of one state."""
    tokens: int = 128
    """Most tokens of a text."""
    repeats: int = 2
    """Turns of each sampler."""
    threads: int = 2
    """Threads of each sampler."""
    dtype: str = "bfloat16"
    """Of the weights in transformers: bfloat16 is the faster one on processors that have it."""


def rate(sample: object, policy: LlamaCppPolicy, options: Options, seed: int) -> tuple[float, int, float]:
    """Return tokens per second, tokens and seconds of one call."""
    env = WorkflowDesignEnv("GSMSymbolic", "sim:gpt-4o-mini", validation_size=8, test_size=8)
    try:
        env.reset(seed=seed)
        messages = env.messages
    finally:
        env.close()
    started = time.monotonic()
    (samples,) = sample(policy, [messages], options.candidates, seed)  # type: ignore[operator]
    seconds = time.monotonic() - started
    tokens = sum(s.completion_tokens for s in samples)
    return tokens / seconds, tokens, seconds


def main(options: Options) -> int:
    """Print the figures; return 1 if the ratio misses the goal."""
    torch.set_num_threads(options.threads)
    policy = make_policy(
        options.policy,
        sampler="llama.cpp",
        lora_rank=8,
        temperature=0.6,
        max_new_tokens=options.tokens,
        dtype=options.dtype,
    )
    assert isinstance(policy, LlamaCppPolicy)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, 0.01, generator=torch.Generator().manual_seed(0))
    started = time.monotonic()
    policy.sample([[{"role": "user", "content": "hi"}]], 1, 0)
    seconds = time.monotonic() - started
    print(f"{options.policy}: writing the adapters, start of the server and a first word: {seconds:.1f} s")
    best: dict[str, float] = {}
    for repeat in range(options.repeats):
        for name, sample in (("llama.cpp", LlamaCppPolicy.sample), ("transformers", HFPolicy.sample)):
            policy.close()  # what was read of the prompt before does not count
            policy.sample([[{"role": "user", "content": "hi"}]], 1, 0)
            speed, tokens, seconds = rate(sample, policy, options, repeat)
            best[name] = max(best.get(name, 0.0), speed)
            print(f"{name}: {tokens} tokens in {seconds:.1f} s = {speed:.1f} tokens/s", flush=True)
    policy.close()
    ratio = best["llama.cpp"] / best["transformers"]
    told = "at or above" if ratio >= GOAL else "BELOW"
    print(f"ratio {ratio:.1f}: {told} the goal of {GOAL:g}")
    return int(ratio < GOAL)


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options, description=__doc__)))
