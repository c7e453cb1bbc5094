"""The inverse mapper (Keyes, Bayat, Khazaie & Mohsenzadeh): a ResNet-18 from a clip to the latent that makes it.

Each step: one batch of real clips, whose latents nobody knows (feature distance only), then one batch of synthesised
clips (latent error and feature distance). Where there is no classifier, spectral distances take the place of feature distance
on real clips, and synthesised ones have their latent error alone (docs/study.md).
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

from invertone.audio.distances import SPECTRAL_LOSSES, spectrogram_mae
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.models.checkpoint import load_classifier, load_listener
from invertone.models.generator import Generator, check_differentiable, check_generator, load_generator
from invertone.models.networks.features import feature_distance
from invertone.models.networks.listening import SignalClassifier
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
    reconstruction: Float[Tensor, "b *c n"]


SPECTRAL = ("log_magnitude", "multi_resolution_stft", "multi_scale_mel")
"""Those of SPECTRAL_LOSSES that real clips have a weight for, `weights.real_NAME`."""
JUDGED_BY = "multi_scale_mel"
"""What picks the best checkpoint where there is no classifier."""


class MapperObjective:
    """Best by feature distance of real validation clips and their reconstructions, without a classifier by JUDGED_BY."""

    kind = "mapper"
    averages = ()

    def __init__(
        self,
        config: MapperConfig,
        setting: Setting,
        generator: Generator,
        classifier: SignalClassifier | None,
        labelled: bool = True,
    ) -> None:
        """classifier: what measures feature distance, a listener too. labelled: whether its labels are those of the shards, so
        that it can be right."""
        self.config, self.generator, self.classifier, self.labelled = config, generator, classifier, labelled
        self.sample_rate = setting.clips.sample_rate
        self.mapper = self._network(config, setting, generator.latent_size)
        self.networks = {"mapper": self.mapper}
        self.frozen = {"generator": cast(nn.Module, generator)}
        if classifier is not None:
            self.frozen["classifier"] = classifier
        self.better = (JUDGED_BY if classifier is None else "feature_distance", -1)
        self.optimisers = {"mapper": torch.optim.Adam(self.mapper.parameters(), config.learning_rate)}
        weights = config.weights
        heard = {"features": weights.real_features} if classifier is not None else {}
        self.spectral = {name: getattr(weights, f"real_{name}") for name in SPECTRAL}
        self.spectral = {name: weight for name, weight in self.spectral.items() if weight > 0}
        synthesised = {"latent": weights.latent}
        if classifier is not None:
            synthesised["features"] = weights.features
        self.phases = (
            Phase("real", ("mapper",), self.real_losses, heard | self.spectral, real_batches=1),
            Phase("synthesised", ("mapper",), self.synthesised_losses, synthesised),
        )

    def _network(self, config: MapperConfig, setting: Setting, latent_size: int) -> nn.Module:
        return ResNet18(latent_size, config.width, setting.front_end(config.front_end), setting.clips.channels)

    def passes(self, target: Float[Tensor, "b *c n"]) -> list[Pass]:
        """The network's attempts at a latent, each with its reconstruction; a mapper makes one."""
        return [self._pass(self.mapper(target))]

    def latents(self, target: Float[Tensor, "b *c n"]) -> list[Float[Tensor, "b z"]]:
        """As `passes`, for those who do not ask what the last one sounds like."""
        return [self.mapper(target)]

    def _pass(self, latent: Float[Tensor, "b z"]) -> Pass:
        """Outside the prior's box the gradient goes on as if the latent had not been moved to its edge."""
        return Pass(latent, self.generator(self.generator.prior.pass_through(latent)))

    def learning_rate(self, step: int) -> float:
        return scheduled(self.config.schedule, step, self.config.steps)

    def real_losses(self, draw: Draw) -> dict[str, Tensor]:
        target = draw.real().signal
        made = self.passes(target)
        heard = {"features": self._distances(target, made)} if self.classifier is not None else {}
        return heard | {name: self._spectral(name, target, made) for name in self.spectral}

    def synthesised_losses(self, draw: Draw) -> dict[str, Tensor]:
        latent = draw.latents(self.generator.prior, self.generator.latent_size)
        with torch.no_grad():
            target = self.generator(latent)
        if self.classifier is None:
            found = self.latents(target)
            return {"latent": torch.stack([F.mse_loss(each, latent) for each in found]).mean()}
        made = self.passes(target)
        return {
            "latent": torch.stack([F.mse_loss(each.latent, latent) for each in made]).mean(),
            "features": self._distances(target, made),
        }

    def _spectral(self, name: str, target: Float[Tensor, "b *c n"], made: Sequence[Pass]) -> Float[Tensor, ""]:
        """The mean over clips and passes."""
        loss = SPECTRAL_LOSSES[name]
        with torch.no_grad():
            wanted = loss.view(target, self.sample_rate)
        views = [loss.view(each.reconstruction, self.sample_rate) for each in made]
        return torch.stack([loss.compare(wanted, found).mean() for found in views]).mean()

    def _distances(self, target: Float[Tensor, "b *c n"], made: Sequence[Pass]) -> Float[Tensor, ""]:
        """Feature distance, mean over clips and passes."""
        return torch.stack([self._distance(target, each.reconstruction).mean() for each in made]).mean()

    def _distance(self, target: Tensor, reconstruction: Tensor) -> Tensor:
        assert self.classifier is not None, "asked of no other"
        with torch.no_grad():
            _, wanted = self.classifier.with_features(target)
        _, found = self.classifier.with_features(reconstruction)
        return feature_distance(wanted, found, self.config.feature_loss)

    def _reconstruct(self, target: Tensor) -> Tensor:
        return self.passes(target)[-1].reconstruction

    def settle(self, draw: Draw) -> None:
        """Nothing is averaged."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        reconstruction = self._reconstruct(batch.signal)
        if self.classifier is None:
            judge = SPECTRAL_LOSSES[JUDGED_BY]
            wanted, found = (judge.view(each, self.sample_rate) for each in (batch.signal, reconstruction))
            sums = {JUDGED_BY: judge.compare(wanted, found).sum()}
        else:
            sums = {"feature_distance": self._distance(batch.signal, reconstruction).sum()}
        sums["spectrogram_mae"] = spectrogram_mae(batch.signal, reconstruction).sum()
        if self.classifier is not None and self.labelled:
            known = batch.label >= 0
            sums["correct"] = (self.classifier(reconstruction).argmax(1) == batch.label)[known].sum()
            sums["labelled"] = known.sum()
        return sums

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        metrics = {name: float(totals[name]) / count for name in totals if name not in ("correct", "labelled")}
        if "labelled" in totals:
            metrics["accuracy"] = float(totals["correct"]) / max(1.0, float(totals["labelled"]))
        return metrics

    def samples(self, real: Batch) -> dict[str, Tensor]:
        self.mapper.eval()
        pairs: dict[str, Tensor] = {}
        for i, (target, found) in enumerate(zip(real.signal, self._reconstruct(real.signal), strict=True)):
            pairs |= {f"{i}-target": target, f"{i}-reconstruction": found}
        return pairs

    def manifest(self) -> dict[str, Any]:
        prior = dataclasses.asdict(self.generator.prior)
        return {"front_end": dataclasses.asdict(self.config.front_end), "prior": prior}


def build_mapping(kind: type[MapperObjective], config: MapperConfig, setting: Setting) -> MapperObjective:
    """The objective with its frozen generator and classifier, and the weights that it begins with."""
    generator = load_generator(config.generator, setting.device)[0]
    classifier, labelled = None, False
    if config.classifier:
        classifier, manifest = load_classifier(config.classifier)
        labelled = manifest.label_names == setting.label_names
    elif config.listener:
        classifier = load_listener(config.listener)
    mapping = kind(config, setting, generator, classifier, labelled)
    if config.initial:
        load_initial(config.initial, mapping.mapper)
    return mapping


def check_mapping(kind: type[MapperObjective], config: MapperConfig, manifest: ShardManifest) -> None:
    """Raises UserError for a generator that cannot be trained through, for losses that need a classifier where there is none,
    and for initial weights that do not fit."""
    check_generator(config.generator)
    check_differentiable(config.generator)
    if config.classifier and config.listener:
        raise UserError("classifier and listener are both given", fix="leave one out: either measures feature distance")
    if config.listener:
        load_listener(config.listener)
    elif not config.classifier:
        _check_without_classifier(config)
    if config.initial:
        with torch.random.fork_rng(devices=[]):
            build_mapping(kind, config, Setting((), manifest.clips, torch.device("cpu")))


def _check_without_classifier(config: MapperConfig) -> None:
    weights = config.weights
    listening = [f"weights.{name}" for name in ("real_features", "features") if getattr(weights, name) > 0]
    compared = any(getattr(weights, f"real_{name}") > 0 for name in SPECTRAL)
    if not listening and compared:
        return
    problem = "without a classifier nothing compares real clips with what is made of them"
    if listening:
        problem = f"{' and '.join(listening)} {'need' if listening[1:] else 'needs'} a classifier, and there is none"
    raise UserError(
        problem,
        fix=f"give classifier=, of whichever labels, or listener=, use `invertone train {config.objective}-unlabelled`, or add "
        f"weights.real_features=0 weights.features=0 weights.real_{JUDGED_BY}=1",
    )


RECIPE = Recipe(partial(build_mapping, MapperObjective), partial(check_mapping, MapperObjective), any_labels=True)
