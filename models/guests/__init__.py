"""Generators of others: classes and programs, made to fit, tried before use, saved."""
