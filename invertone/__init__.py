"""Latent vectors of audio GANs, recovered in bulk: the front door of every stage, for people and for Python."""
