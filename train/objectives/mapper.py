"""The inverse mapper (Keyes, Bayat, Khazaie & Mohsenzadeh): a ResNet-18 from a clip to the latent that makes it.

Each step: one batch of real clips, whose latents nobody knows (feature distance only), then one batch of synthesised
clips (latent error and feature distance).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.audio.distances import spectrogram_mae
from invertone.cluster.formats.shards import ShardManifest
from invertone.models.checkpoint import load_classifier
from invertone.models.generator import Generator, check_differentiable, check_generator, load_generator
from invertone.models.networks.features import feature_distance
from invertone.models.networks.listening import ClipClassifier
from invertone.models.networks.resnet import ResNet18
from invertone.train.initial import load_initial
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.mapper import MapperConfig


@dataclass(frozen=True)
class Pass:
    """latent [b, z] as the network says it, perhaps outside the prior; reconstruction [b, n], made of it within the prior."""

    latent: Float[Tensor, "b z"]
    reconstruction: Float[Tensor, "b n"]


class MapperObjective:
    """Best by feature distance of real validation clips and their reconstructions."""

    kind = "mapper"
    averages = ()
    better = ("feature_distance", -1)

    def __init__(
        self, config: MapperConfig, setting: Setting, generator: Generator, classifier: ClipClassifier
    ) -> None:
        self.config, self.generator, self.classifier = config, generator, classifier
        self.mapper = self._network(config, setting, generator.latent_size)
        self.networks = {"mapper": self.mapper}
        self.frozen = {"generator": cast(nn.Module, generator), "classifier": cast(nn.Module, classifier)}
        self.optimisers = {"mapper": torch.optim.Adam(self.mapper.parameters(), config.learning_rate)}
        weights = config.weights
        self.phases = (
            Phase("real", ("mapper",), self.real_losses, {"features": weights.real_features}, real_batches=1),
            Phase(
                "synthesised",
                ("mapper",),
                self.synthesised_losses,
                {"latent": weights.latent, "features": weights.features},
            ),
        )

    def _network(self, config: MapperConfig, setting: Setting, latent_size: int) -> nn.Module:
        return ResNet18(latent_size, config.width, setting.front_end(config.front_end), setting.clips.channels)

    def passes(self, target: Float[Tensor, "b n"]) -> list[Pass]:
        """The network's attempts at a latent, each with its reconstruction; a mapper makes one."""
        return [self._pass(self.mapper(target))]

    def _pass(self, latent: Float[Tensor, "b z"]) -> Pass:
        """Outside the prior's box the gradient goes on as if the latent had not been moved to its edge."""
        inside = latent + (self.generator.prior.project(latent) - latent).detach()
        return Pass(latent, self.generator(inside))

    def learning_rate(self, step: int) -> float:
        return scheduled(self.config.schedule, step, self.config.steps)

    def real_losses(self, draw: Draw) -> dict[str, Tensor]:
        target = draw.real().waveform
        return {"features": self._distances(target, self.passes(target))}

    def synthesised_losses(self, draw: Draw) -> dict[str, Tensor]:
        latent = draw.latents(self.generator.prior, self.generator.latent_size)
        with torch.no_grad():
            target = self.generator(latent)
        made = self.passes(target)
        return {
            "latent": torch.stack([F.mse_loss(each.latent, latent) for each in made]).mean(),
            "features": self._distances(target, made),
        }

    def _distances(self, target: Float[Tensor, "b n"], made: Sequence[Pass]) -> Float[Tensor, ""]:
        """Feature distance, mean over clips and passes."""
        return torch.stack([self._distance(target, each.reconstruction).mean() for each in made]).mean()

    def _distance(self, target: Tensor, reconstruction: Tensor) -> Tensor:
        with torch.no_grad():
            _, wanted = self.classifier.with_features(target)
        _, found = self.classifier.with_features(reconstruction)
        return feature_distance(wanted, found, self.config.feature_loss)

    def _reconstruct(self, target: Tensor) -> Tensor:
        return self.passes(target)[-1].reconstruction

    def settle(self, draw: Draw) -> None:
        """Nothing is averaged."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        reconstruction = self._reconstruct(batch.waveform)
        known = batch.label >= 0
        return {
            "feature_distance": self._distance(batch.waveform, reconstruction).sum(),
            "spectrogram_mae": spectrogram_mae(batch.waveform, reconstruction).sum(),
            "correct": (self.classifier(reconstruction).argmax(1) == batch.label)[known].sum(),
            "labelled": known.sum(),
        }

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        return {
            "feature_distance": float(totals["feature_distance"]) / count,
            "spectrogram_mae": float(totals["spectrogram_mae"]) / count,
            "accuracy": float(totals["correct"]) / max(1.0, float(totals["labelled"])),
        }

    def samples(self, real: Batch) -> dict[str, Tensor]:
        self.mapper.eval()
        pairs: dict[str, Tensor] = {}
        for i, (target, found) in enumerate(zip(real.waveform, self._reconstruct(real.waveform), strict=True)):
            pairs |= {f"{i}-target": target, f"{i}-reconstruction": found}
        return pairs

    def manifest(self) -> dict[str, Any]:
        prior = dataclasses.asdict(self.generator.prior)
        return {"front_end": dataclasses.asdict(self.config.front_end), "prior": prior}


def build_mapping(kind: type[MapperObjective], config: MapperConfig, setting: Setting) -> MapperObjective:
    """The objective with its frozen generator and classifier, and the weights that it begins with."""
    generator = load_generator(config.generator, setting.device)[0]
    mapping = kind(config, setting, generator, load_classifier(config.classifier)[0])
    if config.initial:
        load_initial(config.initial, mapping.mapper)
    return mapping


def check_mapping(kind: type[MapperObjective], config: MapperConfig, manifest: ShardManifest) -> None:
    """Raises UserError for a generator that cannot be trained through, and for initial weights that do not fit."""
    check_generator(config.generator)
    check_differentiable(config.generator)
    if config.initial:
        with torch.random.fork_rng(devices=[]):
            build_mapping(kind, config, Setting(0, manifest.clips, torch.device("cpu")))


RECIPE = Recipe(partial(build_mapping, MapperObjective), partial(check_mapping, MapperObjective))
