"""WaveGAN: Wasserstein critic with gradient penalty (Gulrajani et al. 2017), Adam 1e-4 with betas (0.5, 0.9)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.cluster.formats.signals import ClipFormat
from invertone.models.checkpoint import load_classifier
from invertone.models.networks.listening import SignalClassifier
from invertone.models.networks.wavegan import LENGTHS, WaveganCritic, WaveganGenerator
from invertone.models.prior import seeded
from invertone.train.adversarial import gradient_penalty
from invertone.train.inception import inception_score, inception_sums
from invertone.train.objective import Batch, Draw, Phase
from invertone.train.recipe import Recipe, Setting
from invertone.train.schemas.shared import TrainConfig
from invertone.train.schemas.wavegan import WaveganConfig

LISTENING_SEED = "listening"


class WaveganObjective:
    """Best by inception score on the given classifier's posteriors; without a classifier there is no best, only a newest."""

    kind = "wavegan"
    averages = ()

    def __init__(self, config: WaveganConfig, clips: ClipFormat, classifier: SignalClassifier | None) -> None:
        self.config = config
        sound = {"clip_samples": clips.samples, "channels": clips.channels}
        self.generator = WaveganGenerator(config.width, config.latent_size, **sound)
        self.critic = WaveganCritic(config.width, config.phase_shuffle, **sound)
        self.networks = {"generator": self.generator, "critic": self.critic}
        self.frozen = {"classifier": classifier} if classifier is not None else {}
        self.better = ("inception_score", 1) if classifier is not None else None
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), config.learning_rate, betas=(0.5, 0.9))
            for name, network in self.networks.items()
        }
        weights = dataclasses.asdict(config.weights)
        self.phases = (
            Phase(
                "critic",
                moves=("critic",),
                losses=self.critic_losses,
                weights=weights,
                repeats=config.critic_updates,
                real_batches=1,
            ),
            Phase("generator", moves=("generator",), losses=self.generator_losses),
        )

    def learning_rate(self, step: int) -> float:
        return 1.0

    def critic_losses(self, draw: Draw) -> dict[str, Tensor]:
        real = draw.real().signal
        with torch.no_grad():
            fake = self.generator(draw.latents(self.generator.prior, self.generator.latent_size)).to(real.dtype)
        score = self._score(real, draw).mean(), self._score(fake, draw).mean()
        return {"wasserstein": score[1] - score[0], "gradient_penalty": self._gradient_penalty(real, fake, draw)}

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        fake = self.generator(draw.latents(self.generator.prior, self.generator.latent_size))
        return {"score": -self._score(fake, draw).mean()}

    def _score(self, waveform: Float[Tensor, "b *c n"], draw: Draw) -> Float[Tensor, " b"]:
        return self.critic(waveform, self.critic.draw_shifts(draw.rng))

    def _gradient_penalty(
        self, real: Float[Tensor, "b *c n"], fake: Float[Tensor, "b *c n"], draw: Draw
    ) -> Float[Tensor, ""]:
        share = draw.uniform(*[1] * (real.ndim - 1))
        return gradient_penalty(lambda between: self._score(between, draw), real, fake, share)

    def settle(self, draw: Draw) -> None:
        """Nothing is averaged."""

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """One generated clip per validation clip, from a latent that depends on the clip's number alone."""
        draws = [
            self.generator.prior.sample(1, self.generator.latent_size, seeded(self.config.seed, "validation", number))
            for number in batch.number.tolist()
        ]
        fake = self.generator(torch.cat(draws).to(batch.signal.device))
        sums = {"critic_gap": (self.critic(batch.signal) - self.critic(fake)).sum()}
        if self.frozen:
            sums |= inception_sums(self.frozen["classifier"], fake)
        return sums

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        return {"critic_gap": float(totals["critic_gap"]) / count, **inception_score(totals, count)}

    def samples(self, real: Batch) -> dict[str, Tensor]:
        """The same latents at every checkpoint, so that one hears the training."""
        rng = seeded(self.config.seed, LISTENING_SEED)
        latents = self.generator.prior.sample(len(real.signal), self.generator.latent_size, rng)
        self.generator.eval()
        return {f"generated-{i}": clip for i, clip in enumerate(self.generator(latents.to(real.signal.device)))}

    def manifest(self) -> dict[str, Any]:
        return {"prior": dataclasses.asdict(self.generator.prior)}


def _build(config: WaveganConfig, setting: Setting) -> WaveganObjective:
    classifier = load_classifier(config.classifier)[0] if config.classifier else None
    return WaveganObjective(config, setting.clips, classifier)


def check_length(config: TrainConfig, manifest: ShardManifest) -> None:
    """WaveGAN's generator makes clips of some lengths only."""
    if manifest.clips.samples not in LENGTHS:
        lengths = ", ".join(f"{each:,}" for each in LENGTHS)
        raise UserError(
            f"shards have clips of {manifest.clips.samples:,} samples, WaveGAN makes {lengths}",
            where=config.shards,
            fix=f"ingest with clip_samples={min(LENGTHS, key=lambda each: abs(each - manifest.clips.samples))}",
        )


RECIPE = Recipe(_build, check_length)
