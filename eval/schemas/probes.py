"""Keys of the probe table."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.eval.schemas.shared import GROUPINGS, TARGETS, SampleConfig


@dataclass(frozen=True)
class ProbesConfig(SampleConfig):
    """What latents know: linear probes from latent columns to labels, speakers, genders."""

    latents: str = key(REQUIRED, "run folder of an infer", path=True, neutral=True)
    shards: str | None = key(None, "the clips; none means those the latents were made from", path=True, neutral=True)
    targets: list[str] = key(["label", "speaker", "gender"], "what is to be told", choices=TARGETS)
    columns: list[str] = key(["latent"], "from which columns, such as latent, guided_latent, class_probabilities")
    folds: int = key(5, "of the cross-validation, where splits do not serve", minimum=2, maximum=100)
    groups: str = key(
        "auto",
        "what is never in two folds; auto: the speaker where there are enough of them, else the recording",
        choices=GROUPINGS,
    )
    components: int = key(64, "principal components of standardised spectrograms", minimum=1)
