"""Where a policy's arithmetic is done, and in which numbers."""

from __future__ import annotations

import os

import torch


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are native on this device."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def pick_device(device: str) -> str:
    """Return the device of this name; `auto` is the first GPU, or that of this process of several, else the CPU."""
    if device != "auto":
        return device
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ['LOCAL_RANK']}" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "cuda"


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the type of the weights; `auto` is bfloat16 on a GPU that has it, float32 otherwise."""
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" and has_fast_bfloat16(device) else torch.float32
    return torch.bfloat16 if dtype == "bfloat16" else torch.float32
