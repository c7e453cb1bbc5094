"""The generate job: clips with known latents as shards, or clips by label and style to listen to."""

from __future__ import annotations

from invertone.infer.generate.config import KINDS, GenerateConfig


def plan(config: GenerateConfig) -> list[str]:
    """What --dry-run prints."""
    return list(KINDS.implementation(config.kind).plan(config))


def run(name: str, config: GenerateConfig) -> None:
    """Makes every clip that is not committed yet, and says where they lie."""
    KINDS.implementation(config.kind).run(name, config)
