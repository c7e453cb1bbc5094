"""CNNs that know guided clips alone: cross-entropy, augmented as those of the other classifiers are, or as GAAE's paper does
(noise, rotation, zero patches)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from invertone.audio.front_end import FrontEnd
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.formats.signals import refuse_others
from invertone.cluster.storage.folder import Folder
from invertone.models.networks.cnn import MULTIPLES, SMALLEST, SimpleCnn, SpectrogramCnn, size_of
from invertone.models.networks.listening import ClipClassifier
from invertone.train.data.augmentation import rotated, with_zero_patches
from invertone.train.data.clips import Part, split_parts
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.objectives.classifier import ClassifierObjective, check_optimiser
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.classifier import ClassifierConfig
from invertone.train.schemas.cnn import CnnConfig


class CnnObjective(ClassifierObjective):
    """The newest checkpoint counts: to choose the best one would take labels of other clips than the guided."""

    kind = "cnn"
    better = None
    config: CnnConfig

    def _network(self, config: ClassifierConfig, setting: Setting) -> ClipClassifier:
        front_end = setting.front_end(config.front_end)
        if config.network == "simple":
            return SpectrogramCnn(setting.labels, config.width, front_end, setting.clips.samples)
        return SimpleCnn(setting.labels, config.width, front_end)

    def _varied(self, spectrogram: Float[Tensor, "b f t"], draw: Draw) -> Float[Tensor, "b f t"]:
        varied = super()._varied(spectrogram, draw)
        if self.config.rotation:
            varied = rotated(varied, draw, self.config.rotation, self.classifier.silence)
        if self.config.patches:
            varied = with_zero_patches(varied, draw, self.config.patches, self.config.patch_size)
        return varied

    def _phase(self) -> Phase:
        return Phase("classifier", moves=("classifier",), losses=self.losses, guided_batches=1, monitors=("error",))

    def _batch(self, draw: Draw) -> Batch:
        assert draw.guided is not None
        return draw.guided()

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        return {}

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        return {}


def _check(config: CnnConfig, manifest: ShardManifest) -> None:
    check_optimiser(config)
    if manifest.clips.channels > 1:
        raise UserError("shards are stereo, a CNN hears one channel", where=config.shards, fix="ingest with channels=1")
    rows, columns = size_of(FrontEnd(**dataclasses.asdict(config.front_end)), manifest.clips.samples)
    least = SMALLEST if config.network == "simple" else 2 ** len(MULTIPLES)
    if min(rows, columns) < least:
        raise UserError(
            f"front_end gives {rows} x {columns}, the {config.network} network needs {least} each way",
            fix="use a smaller front_end.hop_length, or more front_end.mels",
        )
    if not config.also:
        return
    guidance = config.guidance
    names = (load_manifest(Folder.at(guidance.shards)) if guidance.shards else manifest).label_names
    also = load_manifest(Folder.at(config.also))
    refuse_others(also.clips, "also", manifest.clips, "shards", config.also, "is of")
    if also.label_names != names:
        raise UserError(
            f"also has the labels {', '.join(also.label_names) or '(none)'}, guidance has {', '.join(names)}",
            where=config.also,
            fix="give clips with the same labels in the same order",
        )
    split_parts(also, ["train"])


def _inputs(config: CnnConfig) -> dict[str, str]:
    return {"also": load_manifest(Folder.at(config.also)).digest} if config.also else {}


def _also(config: CnnConfig) -> list[Part]:
    """All training clips of the further shards."""
    if not config.also:
        return []
    folder = Folder.at(config.also)
    return [Part(each, 0, each.count, elsewhere=folder) for each in load_manifest(folder).of_splits(["train"])]


RECIPE = Recipe(CnnObjective, _check, _inputs, _also)
