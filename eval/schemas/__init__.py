"""Keys of tables: what several have in one file, then a file per table. Imports neither torch nor Ray."""
