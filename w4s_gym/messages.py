"""The chat message: what observations, policies and prompts are made of."""

from __future__ import annotations

Message = dict[str, str]
"""`{"role": "system" | "user" | "assistant", "content": ...}`"""
