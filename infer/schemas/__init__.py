"""Keys of inversion: what all methods have in one file, then a file per method. Imports neither torch nor Ray."""
