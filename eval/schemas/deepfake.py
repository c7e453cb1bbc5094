"""Keys of the deepfake table."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key
from invertone.eval.schemas.shared import GROUPINGS, LEVELS, SampleConfig

SPECTROGRAMS = ("pooled", "whole")


@dataclass(frozen=True)
class DeepfakeConfig(SampleConfig):
    """Whether logistic regression and SVM tell real from generated clips: by latents, spectrograms, or mere loudness."""

    real: str = key(REQUIRED, "run folder of an infer over recordings", path=True, neutral=True)
    fake: str = key(REQUIRED, "run folder of the same infer over clips that a generator made", path=True, neutral=True)
    real_shards: str | None = key(
        None, "the recordings; none means those the latents were made from", path=True, neutral=True
    )
    fake_shards: str | None = key(
        None, "the generated clips; none means those the latents were made from", path=True, neutral=True
    )
    level: str = key(
        "rms",
        "gain of both sides before spectrograms and loudness: equal RMS (-30 dB), equal peak (full scale), or as they are",
        choices=LEVELS,
    )
    match_labels: bool = key(True, "as many real as fake clips of every label, so that the label is no hint")
    folds: int = key(10, "of the cross-validation", minimum=2, maximum=100)
    groups: str = key(
        "auto",
        "what is never in two folds; auto: the speaker where there are enough of them, else the recording",
        choices=GROUPINGS,
    )
    spectrogram: str = key(
        "pooled", "what is looked at of it: means of 2 x 4 cells, or every cell (whole)", choices=SPECTROGRAMS
    )
    components: int = key(
        64, "principal components of standardised spectrograms; 0: all their values, flattened", minimum=0
    )
    map_clips: int = key(
        200,
        "clips of each side on the maps by t-SNE (spectrograms, latents); 0 makes none",
        minimum=0,
        maximum=5_000,
        neutral=True,
    )
    published: dict[str, list[float]] = key(
        {}, "others' accuracies by row, [logistic regression, SVM], as shares, to set beside"
    )
