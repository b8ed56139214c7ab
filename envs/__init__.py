"""The benchmarks: one module each, imported when first used."""

from functools import partial
from importlib import import_module

from w4s_gym.benchmark import Benchmark, register_benchmark

MODULES = {
    "MGSM": "mgsm",
    "GSM8K": "gsm8k",
    "GSMPlus": "gsm_plus",
    "GSMHard": "gsm_hard",
    "SVAMP": "svamp",
    "MATH": "math",
    "DROP": "drop",
    "HotpotQA": "hotpotqa",
    "MMLUPro": "mmlu_pro",
    "GPQA": "gpqa",
    "HumanEval": "humaneval",
    "MBPP": "mbpp",
    "GSMSymbolic": "gsm_symbolic",
    "ChainSum": "chain_sum",
}
"""Benchmark name -> module of this package that holds its `BENCHMARK`."""


def _get(module: str) -> Benchmark:
    benchmark: Benchmark = import_module(f"{__name__}.{module}").BENCHMARK
    return benchmark


for _name, _module in MODULES.items():
    register_benchmark(_name, partial(_get, _module))
