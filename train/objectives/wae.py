"""A WaveGAN generator trained as the decoder of a Wasserstein autoencoder (Tolstikhin, Bousquet, Gelly & Schölkopf 2018).

An adversarial generator needs days on a GPU before one understands a word; this one says digits after an hour on one CPU
core. Its latents have the WaveGAN's uniform prior, so that everything that inverts a WaveGAN inverts it too.

The sliced Wasserstein distance (Kolouri, Pope, Martin & Rohde 2019) between a batch's latents and draws from the prior, along
the axes and along random directions, keeps latents where the prior is. They get a little noise, so that neighbours sound alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.audio.distances import magnitudes, multi_resolution_stft, spectrogram_mae
from invertone.models.checkpoint import load_classifier
from invertone.models.networks.features import feature_distance
from invertone.models.networks.listening import SignalClassifier
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.wavegan import WaveganGenerator
from invertone.train.loop import reduce
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.objectives.wavegan import check_length
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.wae import WaeConfig

PROJECTIONS = 64


class WaeObjective:
    """Best by validation clips and their reconstructions: feature distance, or STFT distance without a classifier."""

    kind = "wavegan"
    averages = ()

    def __init__(self, config: WaeConfig, setting: Setting, classifier: SignalClassifier | None) -> None:
        self.config, clips = config, setting.clips
        self.generator = WaveganGenerator(
            config.width, config.latent_size, clip_samples=clips.samples, channels=clips.channels
        )
        front_end = setting.front_end(config.front_end)
        self.encoder = ResNet18(config.latent_size, config.encoder_width, front_end, clips.channels)
        self.networks = {"generator": self.generator, "encoder": self.encoder}
        self.frozen = {"classifier": classifier} if classifier is not None else {}
        self.better = ("feature_distance" if self.frozen else "stft_distance", -1)
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), config.learning_rate)
            for name, network in self.networks.items()
        }
        weights = dataclasses.asdict(config.weights)
        self.phases = (Phase("autoencoder", ("generator", "encoder"), self.losses, weights, real_batches=1),)

    def learning_rate(self, step: int) -> float:
        return scheduled(self.config.schedule, step, self.config.steps)

    def losses(self, draw: Draw) -> dict[str, Tensor]:
        target = draw.real().signal
        latent = self.encode(target)
        noise = (draw.uniform(latent.shape[1]) * 2 - 1) * self.config.noise
        reconstruction = self.generator((latent + noise).clamp(-1.0, 1.0))
        drawn = draw.latents(self.generator.prior, latent.shape[1])
        terms = {
            "reconstruction": multi_resolution_stft(magnitudes(target), magnitudes(reconstruction)).mean(),
            "prior": self._sliced(reduce.gathered(latent), reduce.gathered(drawn), draw),
        }
        if self.frozen:
            terms["features"] = self._feature_distance(target, reconstruction).mean()
        return terms

    def _feature_distance(
        self, target: Float[Tensor, "b *c n"], reconstruction: Float[Tensor, "b n"]
    ) -> Float[Tensor, " b"]:
        with torch.no_grad():
            _, wanted = self.frozen["classifier"].with_features(target)
        return feature_distance(wanted, self.frozen["classifier"].with_features(reconstruction)[1])

    def encode(self, target: Float[Tensor, "b *c n"]) -> Float[Tensor, "b z"]:
        """Latents in the box [-1, 1]."""
        return torch.erf(self.encoder(target) / math.sqrt(2))

    def _sliced(self, latent: Float[Tensor, "b z"], drawn: Float[Tensor, "b z"], draw: Draw) -> Float[Tensor, ""]:
        """Squared Wasserstein distance of the two batches along the axes and random directions: sorted against sorted."""
        size = latent.shape[1]
        random = torch.randn(size, PROJECTIONS, generator=draw.rng)
        directions = draw.sent(torch.cat([torch.eye(size), random], 1)).to(latent.dtype)
        directions = directions / directions.norm(dim=0)
        along, other = (latent @ directions).sort(0).values, (drawn @ directions).sort(0).values
        return (along - other).square().mean()

    def settle(self, draw: Draw) -> None:
        """Nothing is averaged."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        reconstruction = self.generator(self.encode(batch.signal))
        sums = {
            "stft_distance": multi_resolution_stft(magnitudes(batch.signal), magnitudes(reconstruction)).sum(),
            "spectrogram_mae": spectrogram_mae(batch.signal, reconstruction).sum(),
        }
        if self.frozen:
            sums["feature_distance"] = self._feature_distance(batch.signal, reconstruction).sum()
            known = batch.label >= 0
            heard = self.frozen["classifier"](reconstruction).argmax(1)
            sums |= {"correct": (heard == batch.label)[known].sum(), "labelled": known.sum()}
        return sums

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        means = [name for name in totals if name not in ("correct", "labelled")]
        metrics = {name: float(totals[name]) / count for name in means}
        if "labelled" in totals:
            metrics["accuracy"] = float(totals["correct"]) / max(1.0, float(totals["labelled"]))
        return metrics

    def samples(self, real: Batch) -> dict[str, Tensor]:
        """Clips, their reconstructions, and as many from the prior."""
        self.generator.eval()
        self.encoder.eval()
        drawn = self.generator.prior.sample(
            len(real.signal), self.config.latent_size, torch.Generator().manual_seed(self.config.seed)
        )
        made = {
            "target": real.signal,
            "reconstruction": self.generator(self.encode(real.signal)),
            "generated": self.generator(drawn.to(real.signal.device)),
        }
        return {f"{i}-{name}": clip for name, clips in made.items() for i, clip in enumerate(clips)}

    def manifest(self) -> dict[str, Any]:
        prior = dataclasses.asdict(self.generator.prior)
        return {"front_end": dataclasses.asdict(self.config.front_end), "prior": prior}


def _build(config: WaeConfig, setting: Setting) -> WaeObjective:
    return WaeObjective(config, setting, load_classifier(config.classifier)[0] if config.classifier else None)


RECIPE = Recipe(_build, check_length)
