"""BiGAN (Donahue, Krähenbühl & Darrell 2017), on top of a trained BigGAN or with a classifier on its encoder; GGAN (Haque et
al. 2021), its heir."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.audio.front_end import FrontEnd
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.models.checkpoint import folder_of, load_networks
from invertone.models.networks.batch_norm import statistics_of
from invertone.models.networks.gaae import Decoder, Head
from invertone.models.prior import Prior
from invertone.train.adversarial import log_fake, log_real
from invertone.train.objective import Draw, Phase
from invertone.train.objectives.spectrogram_gan import (
    AVERAGE,
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

    def __init__(self, config: BiganConfig | GganConfig, labels: int, classes: int, joint: int = 0) -> None:
        size = config.latent_size
        self.config = config
        self.encoder, self.generator = make_encoder(config, heads=1), make_decoder(config, classes)
        self.classifier = Head(size, (size,), labels)
        self.discriminator = make_discriminator(config, classes, size, joint)
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


@dataclass(frozen=True)
class Adversary:
    """What a discriminator loses on real pairs and on generated ones, and what the encoder of the real and the generator of
    the others lose, who want the opposite to be said: with the labels exchanged rather than the sign (section 3.4 there)."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    encoder: Callable[[Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


ADVERSARIES = {
    "hinge": Adversary(hinge_real, hinge_fake, lambda score: score.mean(), lambda score: -score.mean()),
    "log": Adversary(log_real, log_fake, log_fake, log_real),
}


class BiganObjective(JointObjective):
    """A discriminator tells (clip, its latent) from (generated clip, the latent it was made of); generator and encoder move
    against it. The classifier learns on latents of guided clips, which it does not change: the encoder knows no label.

    All at once and from scratch, where GAAE's paper takes one after the other (`BiganOnTopObjective`).
    """

    kind = "bigan"

    def __init__(self, config: BiganConfig, classes: int) -> None:
        super().__init__(config, classes, 0, config.joint)
        self.adversary = ADVERSARIES[config.loss]
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
        return {
            "real": self.adversary.real(score[: len(real[0])]),
            "fake": self.adversary.fake(score[len(real[0]) :]),
        }

    def generator_losses(self, draw: Draw) -> dict[str, Tensor]:
        real, made = self._pairs(draw)
        score = self._scores(real, made)
        return {
            "encoder": self.adversary.encoder(score[: len(real[0])]),
            "generator": self.adversary.generator(score[len(real[0]) :]),
        }

    def classifier_losses(self, draw: Draw) -> dict[str, Tensor]:
        batch = self.guided(draw)
        with torch.no_grad():
            (latent,) = self.encoder(self.spectrogram(batch.signal))
        return {"cross_entropy": F.cross_entropy(self.classifier(latent), batch.label)}

    def _pairs(self, draw: Draw) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """(spectrogram, latent) of a real batch and of a generated one."""
        real, drawn = self.spectrogram(draw.real().signal), self.latents(draw)
        return (real, self.encoder(real)[0]), (self.generator(drawn), drawn)

    def _scores(self, real: tuple[Tensor, Tensor], made: tuple[Tensor, Tensor]) -> Float[Tensor, " b"]:
        return self.discriminator(torch.cat([real[0], made[0]]), None, torch.cat([real[1], made[1]]))


class BiganOnTopObjective(SpectrogramGanObjective):
    """As GAAE's paper has BiGAN (appendix A-C, tables XVIII and XIX): encoder and discriminator on top of an unsupervised
    BigGAN, whose generator stays as it is. No label is read; a classifier is trained afterwards, on the encoder's latents
    (`bigan_classifier`), so that one BiGAN serves every share of labels."""

    kind = "bigan"

    def __init__(self, config: BiganConfig, generator: Decoder) -> None:
        self.config, self.adversary = config, ADVERSARIES[config.loss]
        self.encoder, self.discriminator = (
            make_encoder(config, heads=1),
            make_discriminator(config, 0, config.latent_size, config.joint),
        )
        super().__init__(
            config, 0, {"encoder": self.encoder}, {"discriminator": self.discriminator}, averaged=("encoder",)
        )
        self.networks |= {"generator" + AVERAGE: generator}
        self.phases = (
            Phase(
                "discriminator",
                ("discriminator",),
                self.discriminator_losses,
                repeats=config.discriminator_updates,
                real_batches=1,
                batch_statistics=("encoder",),
            ),
            Phase("encoder", ("encoder",), self.encoder_losses, real_batches=1),
        )

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        real, drawn = self.spectrogram(draw.real().signal), self.latents(draw)
        with torch.no_grad():
            (latent,), made = self.encoder(real), self.final("generator")(drawn)
        score = self.discriminator(torch.cat([real, made]), None, torch.cat([latent, drawn]))
        return {"real": self.adversary.real(score[: len(real)]), "fake": self.adversary.fake(score[len(real) :])}

    def encoder_losses(self, draw: Draw) -> dict[str, Tensor]:
        real = self.spectrogram(draw.real().signal)
        return {"encoder": self.adversary.encoder(self.discriminator(real, None, self.encoder(real)[0]))}

    def reconstruct(self, spectrogram: Float[Tensor, "b f t"]) -> Float[Tensor, "b f t"]:
        (latent,) = self.final("encoder")(spectrogram)
        return self.final("generator")(latent)


class GganObjective(JointObjective):
    """Clip, latent and label judged together: (clip, its latent, the label heard in it) and guided clips with their own label
    against (clip made of a latent and a label, these). The classifier learns from guided and from generated clips.

    What GAAE's paper says of GGAN: built of BigGAN's networks, with their optimisation and settings; guided by a few labels;
    generating by condition; with a classifier of its own (tables VII and VIII); conditions are imposed on the latent samples,
    which therefore hold what was guided and little else (section I). All the rest is invented here: the one discriminator of
    clip, latent and label (by projection); that latents are drawn independently of labels, with no condition of their own,
    and take it up only as far as the classifier, which hears latents, puts it into the encoder's; an encoder at all, hinge
    losses, equal weights of all terms, cross-entropy of guided and of generated clips.
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
        real = self.spectrogram(torch.cat([batch.signal, guided.signal]))
        (latent,) = self.encoder(real)
        heard = self.classifier(latent[: len(batch.signal)]).softmax(1)
        drawn, wanted = self.latents(draw), self.drawn_labels(draw)
        made = self.generator(drawn, wanted)
        labels = torch.cat([heard, self.one_hot(guided.label), wanted])
        return torch.cat([real, made]), labels, torch.cat([latent, drawn]), len(real), guided.label


def _bigan(config: BiganConfig, classes: int) -> SpectrogramGanObjective:
    if not config.generator:
        return BiganObjective(config, classes)
    folder, manifest = folder_of(config.generator, "generator", "biggan")
    generator = load_networks(folder, manifest, ("generator" + AVERAGE,))["generator" + AVERAGE]
    assert isinstance(generator, Decoder)
    return BiganOnTopObjective(config, generator)


def _check_bigan(config: BiganConfig, manifest: ShardManifest) -> None:
    check_family(config, manifest)
    if not config.generator:
        return
    if config.validate_labels:
        raise UserError(
            "validate_labels: on top of a generator no classifier is trained", fix="give it to bigan-classifier"
        )
    folder, found = folder_of(config.generator, "generator", "biggan")
    if found.networks["generator" + AVERAGE]["classes"]:
        raise UserError("generator was trained with labels", where=folder.uri, fix="give a run of biggan-unsupervised")
    front_end = FrontEnd(**dataclasses.asdict(config.front_end))
    for name, mine, its in (
        ("latent_size", config.latent_size, found.networks["generator" + AVERAGE]["latent_size"]),
        ("prior", config.prior, Prior(**found.prior).kind if found.prior else "normal"),
        ("front_end", front_end, FrontEnd(**found.front_end)),
    ):
        if mine != its:
            raise UserError(
                f"{name} is {mine}, generator has {its}",
                where=folder.uri,
                fix="give this training the generator's keys",
            )


RECIPE = Recipe(of_family(_bigan), _check_bigan, guided=lambda config: not config.generator)
GGAN = Recipe(of_family(GganObjective), check_family)
