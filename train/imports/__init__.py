"""Published models become checkpoints of ours."""
