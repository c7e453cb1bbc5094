"""Keys of trainings: what all have in one file, then a file per objective or family. Imports neither torch nor Ray."""
