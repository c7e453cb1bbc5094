"""Corpora to shards."""
