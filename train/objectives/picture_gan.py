"""Generators of pictures and those who judge them: DCGAN (Radford, Metz & Chintala 2016), and the progressive GAN with WGAN-GP
(Karras, Aila, Laine & Lehtinen 2018)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invertone.models.networks.dcgan import DcganDiscriminator, DcganGenerator
from invertone.models.networks.progan import ProganDiscriminator, ProganGenerator
from invertone.models.prior import seeded
from invertone.train.adversarial import drift, gradient_penalty, log_fake, log_real
from invertone.train.growth import Growth, Stage, reals_at
from invertone.train.objective import Average, Batch, Draw, Phase
from invertone.train.schemas.pictures import DcganConfig, ProganConfig

AVERAGE = "_average"
SHOWN_SEED = "shown"


class PictureGanObjective:
    """Base of both. There is no best generator here, only a newest: what a picture is worth, a table says that knows the
    judge."""

    kind: str
    better: tuple[str, int] | None = None
    frozen: Mapping[str, nn.Module] = {}
    averages: Sequence[Average] = ()
    phases: Sequence[Phase]
    config: DcganConfig | ProganConfig
    generator: DcganGenerator | ProganGenerator
    discriminator: DcganDiscriminator | ProganDiscriminator

    def __init__(
        self,
        config: DcganConfig | ProganConfig,
        generator: DcganGenerator | ProganGenerator,
        discriminator: DcganDiscriminator | ProganDiscriminator,
        betas: tuple[float, float],
    ) -> None:
        self.config, self.generator, self.discriminator = config, generator, discriminator
        self.networks: dict[str, nn.Module] = {"generator": generator, "discriminator": discriminator}
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), config.learning_rate, betas=betas)
            for name, network in self.networks.items()
        }

    @property
    def final(self) -> nn.Module:
        """The generator that is used in the end."""
        return self.networks.get("generator" + AVERAGE, self.generator)

    def learning_rate(self, step: int) -> float:
        return 1.0

    def settle(self, draw: Draw) -> None:
        """Averaged networks have no batch norm here."""

    def score(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        """What the discriminator says of pictures of full size."""
        return self.discriminator(picture)

    def latents(self, draw: Draw) -> Float[Tensor, "b z"]:
        return draw.latents(self.generator.prior, self.generator.latent_size)

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """One generated picture per validation picture, from a latent that depends on the picture's number alone."""
        draws = [
            self.generator.prior.sample(1, self.generator.latent_size, seeded(self.config.seed, "validation", number))
            for number in batch.number.tolist()
        ]
        fake = self.final(torch.cat(draws).to(batch.signal.device, batch.signal.dtype))
        return {"critic_gap": (self.score(batch.signal) - self.score(fake)).sum()}

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        return {"critic_gap": float(totals["critic_gap"]) / count}

    def samples(self, real: Batch) -> dict[str, Tensor]:
        """The same latents at every checkpoint, so that one sees the training."""
        rng = seeded(self.config.seed, SHOWN_SEED)
        latents = self.generator.prior.sample(len(real.signal), self.generator.latent_size, rng)
        self.final.eval()
        made = self.final(latents.to(real.signal.device, real.signal.dtype))
        return {f"generated-{i}": picture for i, picture in enumerate(made)}

    def manifest(self) -> dict[str, Any]:
        return {"prior": dataclasses.asdict(self.generator.prior)}


class DcganObjective(PictureGanObjective):
    """Adam with betas (0.5, 0.999), learning rate 2e-4 in the paper. Real and generated pictures are normalised apart."""

    kind = "dcgan"
    config: DcganConfig
    generator: DcganGenerator
    discriminator: DcganDiscriminator

    def __init__(self, config: DcganConfig, size: int) -> None:
        generator = DcganGenerator(config.width, config.latent_size, size, config.prior)
        super().__init__(config, generator, DcganDiscriminator(config.width, size), betas=(0.5, 0.999))
        self.phases = (
            Phase(
                "discriminator",
                ("discriminator",),
                self.discriminator_losses,
                real_batches=1,
                batch_statistics=("generator",),
            ),
            Phase("generator", ("generator",), self.generator_losses, batch_statistics=("discriminator",)),
        )

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        real = draw.real().signal
        with torch.no_grad():
            fake = self.generator(self.latents(draw).to(real.dtype))
        return {"real": log_real(self.discriminator(real)), "fake": log_fake(self.discriminator(fake))}

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        latent = self.latents(draw).to(self.generator.dense.weight.dtype)
        return {"score": log_real(self.discriminator(self.generator(latent)))}


class ProganObjective(PictureGanObjective):
    """It grows with the step (`Growth`), and nothing else knows how far it has grown. Adam with betas (0, 0.99), learning rate
    1e-3 in the paper; averages of the generator's weights are what is used in the end. Optimisers go on where the paper's
    authors begin them anew at every level.
    """

    kind = "progan"
    config: ProganConfig
    generator: ProganGenerator
    discriminator: ProganDiscriminator

    def __init__(self, config: ProganConfig, size: int) -> None:
        generator = ProganGenerator(size, config.latent_size, config.width)
        super().__init__(config, generator, ProganDiscriminator(size, config.width), betas=(0.0, 0.99))
        self.average = copy.deepcopy(generator)
        self.networks["generator" + AVERAGE] = self.average
        self.averages = (Average(generator, self.average, config.average),)
        self.growth = Growth(size, config.fade_steps, config.stable_steps)
        self.stage = Stage(size, 1.0)
        """Of the step that was last; it is a function of that step alone."""
        self.phases = (
            Phase(
                "discriminator",
                ("discriminator",),
                self.discriminator_losses,
                dataclasses.asdict(config.weights),
                repeats=config.critic_updates,
                real_batches=1,
            ),
            Phase("generator", ("generator",), self.generator_losses),
        )

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        stage = self._grown(draw.step)
        real = reals_at(draw.real().signal, stage)
        with torch.no_grad():
            fake = self.generator.at(self.latents(draw).to(real.dtype), stage.resolution, stage.alpha)
        on_real, share = self.discriminator(real, stage.alpha), draw.uniform(1, 1, 1).to(real.dtype)
        penalty = gradient_penalty(lambda between: self.discriminator(between, stage.alpha), real, fake, share)
        return {
            "wasserstein": self.discriminator(fake, stage.alpha).mean() - on_real.mean(),
            "gradient_penalty": penalty,
            "drift": drift(on_real),
        }

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        stage, latent = self._grown(draw.step), self.latents(draw).to(self.generator.dense.weight.dtype)
        made = self.generator.at(latent, stage.resolution, stage.alpha)
        return {"score": -self.discriminator(made, stage.alpha).mean()}

    def score(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
        return self.discriminator(reals_at(picture, self.stage), self.stage.alpha)

    def _grown(self, step: int) -> Stage:
        """The stage of a step, which both generators then say of themselves in checkpoints."""
        self.stage = self.growth.at(step)
        for generator in (self.generator, self.average):
            generator.grown, generator.alpha = self.stage.resolution, self.stage.alpha
        return self.stage
