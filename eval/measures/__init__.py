"""Measures as sums that add up, their intervals, and how they are shown."""
