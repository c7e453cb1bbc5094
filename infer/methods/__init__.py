"""Inversion: a batch of clips → latents, and what is minimised."""
