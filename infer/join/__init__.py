"""Inference runs over windows, put together: a row per recording, and its sound."""
