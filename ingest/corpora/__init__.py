"""Readers: what each corpus's own layout says about its files."""
