"""Inference runs as arrays and sounds."""
