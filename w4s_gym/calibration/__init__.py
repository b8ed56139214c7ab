"""Fits simulated executors: to published figures (`fitting`), and to recorded runs of real ones (`recorded`)."""
