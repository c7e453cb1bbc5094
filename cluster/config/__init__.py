"""Strict, typed, frozen configuration, and the keys that jobs share."""
