"""Shards and checkpoints to Parquet: latents and reconstructions of every clip. Checkpoints to clips with known latents."""
