"""Keys of `invertone join`. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.audio.crossfade import FADES, SQUARED
from invertone.cluster.config.registry import Entry, Registry
from invertone.cluster.config.schema import REQUIRED, Catalogue, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.shards import AUDIO_FORMATS


@dataclass(frozen=True)
class JoinConfig(BulkConfig):
    """What windows become again."""

    kind: str = key(REQUIRED, "what windows are put together to")
    latents: str = key(REQUIRED, "run folder of an infer over windows", path=True, neutral=True)
    out: str = key(REQUIRED, "run folder that takes the tables, and sounds", path=True, neutral=True)
    shards: str | None = key(
        None, "the shards that the latents are of; none: those that the run recorded", path=True, neutral=True
    )
    sounds: bool = key(False, "one reconstruction per recording as well, its windows faded into each other")
    format: str = key("flac", "audio format of the sounds", choices=AUDIO_FORMATS)
    fade: str = key(
        SQUARED,
        "how overlapping windows are weighted before they are added: by the square of a sine window or by a triangle; "
        "weights are divided by their sum",
        choices=FADES,
    )


_HERE = "invertone.infer.join"
KINDS = Registry(Entry("recordings", f"{_HERE}.config:JoinConfig", f"{_HERE}.job"))
"""Each implementation has `plan(config)` and `run(name, config)`."""
CATALOGUE = Catalogue(stage="join", selector="kind", schemas=KINDS)
