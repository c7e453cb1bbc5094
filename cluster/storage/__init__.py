"""Local disk and whatever fsspec serves, as one: whole files, Parquet, S3's ways, where our own files lie."""
