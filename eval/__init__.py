"""Parquet to tables: how good the latents and reconstructions are."""
