"""Latents and labels → sound, in bulk."""
