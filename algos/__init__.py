"""Policies and algorithms."""
