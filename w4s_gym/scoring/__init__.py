"""Scoring rules: pure functions of (gold, answer)."""
