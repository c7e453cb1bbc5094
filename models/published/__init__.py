"""Checkpoints as their authors publish them, read without their software."""
