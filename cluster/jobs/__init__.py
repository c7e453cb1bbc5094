"""Bulk work: units of a plan, done exactly once by workers that may die, and what a run folder says of it."""
