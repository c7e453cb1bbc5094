"""BigGAN (Brock, Donahue & Simonyan 2019) on spectrograms: with labels and projection, or without any."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from train.config import BigganConfig
from train.objective import Draw, Phase
from train.objectives.spectrogram_gan import (
    SpectrogramGanObjective,
    hinge_fake,
    hinge_real,
    make_decoder,
    make_discriminator,
)


class BigganObjective(SpectrogramGanObjective):
    """The conditional one sees guided clips with their labels, the other one all clips without."""

    kind = "biggan"

    def __init__(self, config: BigganConfig, classes: int) -> None:
        self.config = config
        self.classes = classes if config.conditional else 0
        self.generator = make_decoder(config, self.classes)
        self.discriminator = make_discriminator(config, self.classes)
        super().__init__(
            config, {"generator": self.generator}, {"discriminator": self.discriminator}, averaged=("generator",)
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
        latent, wanted = self.latents(draw), self._drawn(draw)
        with torch.no_grad():
            made = self.generator(latent, wanted)
        real = self.spectrogram(batch.waveform)
        labels = torch.cat([self._one_hot(batch.label), wanted])
        score = self.discriminator(torch.cat([real, made]), labels)
        return {"real": hinge_real(score[: len(real)]), "fake": hinge_fake(score[len(real) :])}

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        latent, wanted = self.latents(draw), self._drawn(draw)
        return {"score": -self.discriminator(self.generator(latent, wanted), wanted).mean()}

    def _drawn(self, draw: Draw) -> Float[Tensor, "b k"]:
        return self._one_hot(draw.labels(max(1, self.classes)))

    def _one_hot(self, label: Tensor) -> Float[Tensor, "b k"]:
        """[b, 0] for the unconditional one, which so reads no label."""
        if not self.classes:
            return torch.zeros(len(label), 0, device=label.device)
        return F.one_hot(label, self.classes).float()

    def generate(self, latent: Float[Tensor, "b z"], label: Tensor) -> Float[Tensor, "b f t"]:
        return self.final("generator")(latent, self._one_hot(label % max(1, self.classes)))
