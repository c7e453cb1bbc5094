"""Keys of `invertone import`: one schema per kind of published model. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, Catalogue, key
from invertone.cluster.config.shared import StorageConfig
from invertone.cluster.formats.shards import LEVELS


@dataclass(frozen=True)
class WaveganImportConfig(StorageConfig):
    """A published WaveGAN."""

    model: str = key("wavegan", "what kind of model it is", choices=("wavegan",))
    checkpoint: str = key(
        REQUIRED,
        "the checkpoint of TensorFlow: its prefix (…/model.ckpt-7), its .index file, or a folder with one",
        path=True,
        neutral=True,
    )
    out: str = key(REQUIRED, "run folder that takes the checkpoint of ours", path=True, neutral=True)
    levels: str = key(
        "untouched",
        "levels of the clips it was trained on; peak: each scaled to full scale. The weights published with the paper: "
        "untouched",
        choices=LEVELS,
    )
    sample_rate: int = key(
        16_000,
        "Hz of the clips it was trained on (its authors' --data_sample_rate), which no checkpoint says",
        minimum=1_000,
    )
    clip_samples: int | None = key(
        None,
        "samples of the clips it was trained on (its authors' --data_slice_len): 32768 or 65536, which its variables do not "
        "tell apart; none: 16384",
        minimum=1,
    )


@dataclass(frozen=True)
class ClassifierImportConfig(StorageConfig):
    """The published classifier of WaveGAN's inception scores."""

    model: str = key("classifier", "what kind of model it is", choices=("classifier",))
    checkpoint: str = key(
        REQUIRED,
        "the checkpoint of TensorFlow: its prefix (…/best_acc-103005), its .index file, or a folder with one",
        path=True,
        neutral=True,
    )
    out: str = key(REQUIRED, "run folder that takes the checkpoint of ours", path=True, neutral=True)


ImportConfig = WaveganImportConfig | ClassifierImportConfig
CATALOGUE = Catalogue(
    stage="import",
    selector="model",
    schemas={"wavegan": WaveganImportConfig, "classifier": ClassifierImportConfig},
    positional="checkpoint",
)
