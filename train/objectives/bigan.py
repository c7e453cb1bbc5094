"""BiGAN (Donahue, Krähenbühl & Darrell 2017) with a classifier on its encoder; GGAN (Haque et al. 2021), its heir."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.models.networks.batch_norm import statistics_of
from invertone.models.networks.gaae import Head
from invertone.train.objective import Draw, Phase
from invertone.train.objectives.spectrogram_gan import (
    SpectrogramGanObjective,
    check_family,
    hinge_fake,
    hinge_real,
    make_decoder,
    make_discriminator,
    make_encoder,
    of_family,
)
from invertone.train.recipe import Recipe
from invertone.train.schemas.bigan import BiganConfig, GganConfig


class JointObjective(SpectrogramGanObjective):
    """A discriminator of spectrograms together with their latents, and labels where `classes` of them steer the generator; a
    classifier of `labels` on the encoder's latents."""

    def __init__(self, config: BiganConfig | GganConfig, labels: int, classes: int) -> None:
        size = config.latent_size
        self.config = config
        self.encoder, self.generator = make_encoder(config, heads=1), make_decoder(config, classes)
        self.classifier = Head(size, (size,), labels)
        self.discriminator = make_discriminator(config, classes, size)
        super().__init__(
            config,
            classes,
            {"encoder": self.encoder, "generator": self.generator, "classifier": self.classifier},
            {"discriminator": self.discriminator},
            averaged=("encoder", "generator", "classifier"),
        )

    def reconstruct(self, spectrogram: Float[Tensor, "b f t"]) -> Float[Tensor, "b f t"]:
        (latent,) = self.final("encoder")(spectrogram)
        label = self.final("classifier")(latent).softmax(1) if self.classes else None
        return self.final("generator")(latent, label)


class BiganObjective(JointObjective):
    """A discriminator tells (clip, its latent) from (generated clip, the latent it was made of); generator and encoder move
    against it. The classifier learns on latents of guided clips, which it does not change: the encoder knows no label."""

    kind = "bigan"

    def __init__(self, config: BiganConfig, classes: int) -> None:
        super().__init__(config, classes, 0)
        self.phases = (
            Phase(
                "discriminator",
                ("discriminator",),
                self.discriminator_losses,
                repeats=config.discriminator_updates,
                real_batches=1,
                batch_statistics=("encoder", "generator"),
            ),
            Phase("generator", ("encoder", "generator"), self.generator_losses, real_batches=1),
            Phase("classifier", ("classifier",), self.classifier_losses, guided_batches=1),
        )

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        with torch.no_grad():
            real, made = self._pairs(draw)
        score = self._scores(real, made)
        return {"real": hinge_real(score[: len(real[0])]), "fake": hinge_fake(score[len(real[0]) :])}

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        real, made = self._pairs(draw)
        score = self._scores(real, made)
        return {"encoder": score[: len(real[0])].mean(), "generator": -score[len(real[0]) :].mean()}

    def classifier_losses(self, draw: Draw) -> dict[str, Tensor]:
        batch = self.guided(draw)
        with torch.no_grad():
            (latent,) = self.encoder(self.spectrogram(batch.waveform))
        return {"cross_entropy": F.cross_entropy(self.classifier(latent), batch.label)}

    def _pairs(self, draw: Draw) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """(spectrogram, latent) of a real batch and of a generated one."""
        real, drawn = self.spectrogram(draw.real().waveform), self.latents(draw)
        return (real, self.encoder(real)[0]), (self.generator(drawn), drawn)

    def _scores(self, real: tuple[Tensor, Tensor], made: tuple[Tensor, Tensor]) -> Float[Tensor, " b"]:
        return self.discriminator(torch.cat([real[0], made[0]]), None, torch.cat([real[1], made[1]]))


class GganObjective(JointObjective):
    """Clip, latent and label judged together: (clip, its latent, the label heard in it) and guided clips with their own label
    against (clip made of a latent and a label, these). The classifier learns from guided and from generated clips.

    Built anew from what is known of it at second hand: a guided classifier, no style latent, no reconstruction. In everything
    else it does as GAAE does here, and may differ from its paper.
    """

    kind = "ggan"

    def __init__(self, config: GganConfig, classes: int) -> None:
        super().__init__(config, classes, classes)
        self.phases = (
            Phase(
                "discriminator",
                ("discriminator",),
                self.discriminator_losses,
                repeats=config.discriminator_updates,
                real_batches=1,
                guided_batches=1,
                batch_statistics=("encoder", "generator"),
            ),
            Phase(
                "generator",
                ("encoder", "generator", "classifier"),
                self.generator_losses,
                real_batches=1,
                guided_batches=1,
            ),
        )

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        with torch.no_grad():
            spectrogram, label, latent, known, _ = self._triples(draw)
        score = self.discriminator(spectrogram, label, latent)
        return {"real": hinge_real(score[:known]), "fake": hinge_fake(score[known:])}

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        spectrogram, label, latent, known, guided = self._triples(draw)
        score = self.discriminator(spectrogram, label, latent)
        with statistics_of([self.encoder], momentum=0.0):
            generated = self.classifier(self.encoder(spectrogram[known:].detach())[0])
        heard = self.classifier(latent[known - len(guided) : known])
        return {
            "encoder": score[:known].mean(),
            "generator": -score[known:].mean(),
            "guided": F.cross_entropy(heard, guided),
            "generated": F.cross_entropy(generated, label[known:].argmax(1)),
        }

    def _triples(self, draw: Draw) -> tuple[Tensor, Tensor, Tensor, int, Tensor]:
        """Spectrograms, labels [b, k], latents: all clips, guided clips, generated clips; how many of them are real; and the
        guided labels."""
        batch, guided = draw.real(), self.guided(draw)
        real = self.spectrogram(torch.cat([batch.waveform, guided.waveform]))
        (latent,) = self.encoder(real)
        heard = self.classifier(latent[: len(batch.waveform)]).softmax(1)
        drawn, wanted = self.latents(draw), self.drawn_labels(draw)
        made = self.generator(drawn, wanted)
        labels = torch.cat([heard, self.one_hot(guided.label), wanted])
        return torch.cat([real, made]), labels, torch.cat([latent, drawn]), len(real), guided.label


RECIPE = Recipe(of_family(BiganObjective), check_family)
GGAN = Recipe(of_family(GganObjective), check_family)
