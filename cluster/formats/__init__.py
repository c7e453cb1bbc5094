"""What stages meet at: shards, checkpoints, latents in Parquet, and the record of every run. Each versioned."""
