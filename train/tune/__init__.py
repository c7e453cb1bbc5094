"""Sweeps: a space, a search, many trainings side by side."""
