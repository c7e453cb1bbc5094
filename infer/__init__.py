"""Shards and checkpoints to Parquet: latents and reconstructions of every clip."""
