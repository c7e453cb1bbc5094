"""The generate job: clips with known latents as shards, or clips by label and style to listen to."""

from __future__ import annotations

from invertone.infer.generate.clips_job import plan_clips, run_clips
from invertone.infer.generate.config import ClipsConfig, GaaeClipsConfig, GenerateConfig
from invertone.infer.generate.gaae_job import plan_gaae, run_gaae


def plan(config: GenerateConfig) -> list[str]:
    """What --dry-run prints."""
    if isinstance(config, GaaeClipsConfig):
        return plan_gaae(config)
    assert isinstance(config, ClipsConfig)
    return plan_clips(config)


def run(name: str, config: GenerateConfig) -> None:
    """Makes every clip that is not committed yet, and says where they lie."""
    if isinstance(config, GaaeClipsConfig):
        run_gaae(name, config)
    else:
        assert isinstance(config, ClipsConfig)
        run_clips(name, config)
