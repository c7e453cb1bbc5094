"""One YAML per named job, in one folder per stage."""
