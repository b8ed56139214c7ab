"""Workflow design as a Gymnasium environment family."""
