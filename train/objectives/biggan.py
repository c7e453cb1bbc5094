"""BigGAN (Brock, Donahue & Simonyan 2019) on spectrograms: with labels and projection, or without any."""

from __future__ import annotations

import torch
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.train.objective import Draw, Phase
from invertone.train.objectives.spectrogram_gan import (
    SpectrogramGanObjective,
    check_family,
    hinge_fake,
    hinge_real,
    make_decoder,
    make_discriminator,
    of_family,
)
from invertone.train.recipe import Recipe
from invertone.train.schemas.biggan import BigganConfig


class BigganObjective(SpectrogramGanObjective):
    """The conditional one sees guided clips with their labels, the other one all clips without."""

    kind = "biggan"

    def __init__(self, config: BigganConfig, classes: int) -> None:
        self.config = config
        classes = classes if config.conditional else 0
        self.generator = make_decoder(config, classes)
        self.discriminator = make_discriminator(config, classes)
        super().__init__(
            config,
            classes,
            {"generator": self.generator},
            {"discriminator": self.discriminator},
            averaged=("generator",),
        )
        self.phases = (
            Phase(
                "discriminator",
                ("discriminator",),
                self.discriminator_losses,
                repeats=config.discriminator_updates,
                real_batches=0 if config.conditional else 1,
                guided_batches=1 if config.conditional else 0,
                batch_statistics=("generator",),
            ),
            Phase("generator", ("generator",), self.generator_losses),
        )

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        batch = self.guided(draw) if self.classes else draw.real()
        latent, wanted = self.latents(draw), self.drawn_labels(draw)
        with torch.no_grad():
            made = self.generator(latent, wanted)
        real = self.spectrogram(batch.signal)
        labels = torch.cat([self.one_hot(batch.label), wanted])
        score = self.discriminator(torch.cat([real, made]), labels)
        return {"real": hinge_real(score[: len(real)]), "fake": hinge_fake(score[len(real) :])}

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        latent, wanted = self.latents(draw), self.drawn_labels(draw)
        return {"score": -self.discriminator(self.generator(latent, wanted), wanted).mean()}


def _check(config: BigganConfig, manifest: ShardManifest) -> None:
    check_family(config, manifest)
    if config.validate_labels:
        raise UserError("validate_labels: BigGAN has no classifier of its own", fix="leave it out")


RECIPE = Recipe(of_family(BigganObjective), _check, guided=lambda config: bool(config.conditional))
