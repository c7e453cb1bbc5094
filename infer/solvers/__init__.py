"""Many problems at once, each on its own path."""
