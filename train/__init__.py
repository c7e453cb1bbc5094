"""Shards to checkpoints: one loop, objectives as data."""
