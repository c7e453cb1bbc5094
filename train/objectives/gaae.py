"""GAAE, the guided adversarial autoencoder (Haque, Rana & Schuller 2020), as its Algorithm 1.

The encoder gives a guided latent, of which the classifier hears the label, and a style latent, which an adversary keeps
normal. The decoder makes a spectrogram of style and label: of a clip's own, which must reconstruct it, and of its style with
a random label, which the sample discriminator and the classifier must believe.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.cluster.formats.shards import ShardManifest
from invertone.models.networks.batch_norm import statistics_of
from invertone.models.networks.gaae import Head
from invertone.train.data.augmentation import masked, moved
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
from invertone.train.recipe import Recipe, check_divisible
from invertone.train.schemas.gaae import GaaeConfig


class GaaeObjective(SpectrogramGanObjective):
    """Two updates of the discriminators, one of encoder, decoder and classifier (EDC).

    What is not certain of the paper is said here: labels that the classifier gives enter decoder and discriminator as
    probabilities, so that their gradient reaches it; what counts as a real pair is the key `real_pairs`.
    """

    kind = "gaae"
    decodes = "decoder"

    def __init__(self, config: GaaeConfig, classes: int) -> None:
        self.config = config
        size, style = config.latent_size, self.drawn_size
        self.encoder = make_encoder(config, heads=2, style_size=config.style_size or 0)
        self.decoder = make_decoder(config, classes, style)
        self.classifier = Head(size, (size,), classes)
        self.sample_discriminator = make_discriminator(config, classes)
        told = style + classes * config.independent_style
        self.latent_discriminator = Head(told, (size, size), 1, normed=True)
        super().__init__(
            config,
            classes,
            {"encoder": self.encoder, "decoder": self.decoder, "classifier": self.classifier},
            {
                "sample_discriminator": self.sample_discriminator,
                "latent_discriminator": self.latent_discriminator,
            },
            averaged=("encoder", "decoder", "classifier"),
        )
        w = config.weights
        guided, latent = {"guided": w.beta * w.guided}, {"latent": w.beta * w.latent}
        reconstruction = {"reconstruction": w.alpha * w.reconstruction * w.reconstruction_scale}
        moved = ("encoder", "decoder", "classifier")
        alone = config.warm_up.classifier
        begun = alone + config.warm_up.reconstruction
        warm_up = (
            Phase(
                "classifier", ("encoder", "classifier"), self.classifier_losses, guided, guided_batches=1, until=alone
            ),
            Phase(
                "latent_discriminator",
                ("latent_discriminator",),
                self.latent_discriminator_losses,
                repeats=config.discriminator_updates,
                real_batches=1,
                batch_statistics=("encoder",),
                since=alone,
                until=begun,
            ),
            Phase(
                "reconstruction",
                moved,
                self.reconstruction_losses,
                guided | reconstruction | latent,
                real_batches=1,
                guided_batches=1,
                monitors=("guided_error",),
                since=alone,
                until=begun,
            ),
        )
        self.phases = (
            *(each for each in warm_up if each.until != each.since),
            Phase(
                "discriminators",
                ("sample_discriminator", "latent_discriminator"),
                self.discriminator_losses,
                repeats=config.discriminator_updates,
                real_batches=1,
                guided_batches=1,
                batch_statistics=("encoder", "decoder"),
                since=begun,
            ),
            Phase(
                "autoencoder",
                moved,
                self.autoencoder_losses,
                {
                    "generation": w.alpha * w.generation,
                    **reconstruction,
                    **guided,
                    "generated": w.beta * w.generated,
                    **latent,
                },
                real_batches=1,
                guided_batches=1,
                monitors=("guided_error",),
                since=begun,
            ),
        )

    def classifier_losses(self, draw: Draw) -> dict[str, Tensor]:
        """Of guided clips alone, equation 4."""
        guided = self.guided(draw)
        heard = self.classifier(self.encoder(self._varied(guided.signal, draw))[0])
        return {"guided": F.cross_entropy(heard, guided.label)}

    def latent_discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        """Equation 8 alone."""
        drawn, wanted = self.latents(draw), self.drawn_labels(draw)
        with torch.no_grad():
            guided_latent, own = self.encoder(self._real(draw)[1])
            heard = self.classifier(guided_latent).softmax(1)
        return self._latent_losses(drawn, wanted, own, heard)

    def _latent_losses(
        self, drawn: Float[Tensor, "b z"], wanted: Float[Tensor, "b k"], own: Float[Tensor, "b z"], heard: Tensor
    ) -> dict[str, Tensor]:
        told = self._told(torch.cat([drawn, own]), torch.cat([wanted, heard]))
        return {"latent_real": hinge_real(told[: len(drawn)]), "latent_fake": hinge_fake(told[len(drawn) :])}

    def _told(self, style: Float[Tensor, "b z"], label: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
        """What the latent discriminator says of styles, and of labels beside them where it sees these."""
        seen = torch.cat([style, label], 1) if self.config.independent_style else style
        return self.latent_discriminator(seen)[:, 0]

    def reconstruction_losses(self, draw: Draw) -> dict[str, Tensor]:
        """Equation 6 without what the sample discriminator says and without generated clips."""
        (real, seen), guided = self._real(draw), self.guided(draw)
        count = len(real)
        guided_latent, own_style = self.encoder(torch.cat([seen, self._varied(guided.signal, draw)]))
        heard, own_style = self.classifier(guided_latent), own_style[:count]
        label = heard[:count].softmax(1)
        made = self.decoder(self._decoded_style(own_style, draw), label)
        wrong = heard[count:].argmax(1) != guided.label
        return {
            "reconstruction": F.mse_loss(made, real),
            "guided": F.cross_entropy(heard[count:], guided.label),
            "latent": -self._told(own_style, label.detach()).mean(),
            "guided_error": wrong.float().mean(),
        }

    @property
    def drawn_size(self) -> int:
        return self.config.style_size or self.config.latent_size

    def _decoded_style(self, own: Float[Tensor, "b z"], draw: Draw) -> Float[Tensor, "b z"]:
        """Clips' styles as the decoder gets them in training."""
        if not self.config.style_noise:
            return own
        noise = self.config.style_noise
        return (own + noise * self.latents(draw)) / (1 + noise**2) ** 0.5

    def _generated_style(self, own: Float[Tensor, "b z"], drawn: Float[Tensor, "b z"]) -> Float[Tensor, "b z"]:
        """The style that a random label is put on. The paper takes the real clip's own (III-A3): of one style with two labels
        the label alone can make the difference, and a style that still knew the clip's would be found out."""
        if self.config.generated_style == "both":
            every_second = torch.arange(len(own), device=own.device)[:, None] % 2 == 0
            return torch.where(every_second, own, drawn)
        return own if self.config.generated_style == "own" else drawn

    def discriminator_losses(self, draw: Draw) -> dict[str, Tensor]:
        real, seen = self._real(draw)
        guided = self.guided(draw)
        count = min(len(real), len(guided.signal))
        style, wanted = self.latents(draw), self.drawn_labels(draw)
        with torch.no_grad():
            guided_latent, own_style = self.encoder(seen)
            heard = self.classifier(guided_latent).softmax(1)
            decoded = self._decoded_style(own_style, draw)
            styles = torch.cat([decoded, self._generated_style(decoded, style)])
            made = self.decoder(styles, torch.cat([heard, wanted]))
        pairs = {
            "guided": (self.spectrogram(guided.signal[:count]), self.one_hot(guided.label[:count])),
            "all": (real, heard),
        }
        chosen = list(pairs) if self.config.real_pairs == "both" else [self.config.real_pairs]
        genuine = [pairs[name] for name in chosen]
        score = self.sample_discriminator(
            torch.cat([each for each, _ in genuine] + [made]),
            torch.cat([each for _, each in genuine] + [heard, wanted]),
        )
        known = sum(len(each) for each, _ in genuine)
        return {
            "sample_real": hinge_real(score[:known]),
            "sample_fake": hinge_fake(score[known:]),  # mean of both halves: the paper's 1/2
            **self._latent_losses(style, wanted, own_style, heard),
        }

    def autoencoder_losses(self, draw: Draw) -> dict[str, Tensor]:
        (real, seen), guided = self._real(draw), self.guided(draw)
        count = len(real)
        style, label = self.latents(draw), draw.labels(self.classes)
        guided_latent, own_style = self.encoder(torch.cat([seen, self._varied(guided.signal, draw)]))
        heard, own_style = self.classifier(guided_latent), own_style[:count]
        labels = torch.cat([heard[:count].softmax(1), self.one_hot(label)])
        decoded = self._decoded_style(own_style, draw)
        made = self.decoder(torch.cat([decoded, self._generated_style(decoded, style)]), labels)
        # What was generated is given here: the classifier follows the decoder, not the decoder the classifier. It leaves no
        # trace in the encoder's statistics, which are those of clips.
        with statistics_of([self.encoder], momentum=0.0):
            believed = self.classifier(self.encoder(made[count:].detach())[0])
        wrong = heard[count:].argmax(1) != guided.label
        return {
            "generation": -self.sample_discriminator(made, labels).mean(),
            "reconstruction": F.mse_loss(made[:count], real),
            "guided": F.cross_entropy(heard[count:], guided.label),
            "generated": F.cross_entropy(believed, label),
            "latent": -self._told(own_style, labels[:count].detach()).mean(),
            "guided_error": wrong.float().mean(),
        }

    def _real(self, draw: Draw) -> tuple[Float[Tensor, "b f t"], Float[Tensor, "b f t"]]:
        """Spectrograms of the next unlabelled clips, which must be reconstructed and count as real, and what the encoder sees
        of them: the same, or with `varied: all` the clips moved in time, and of these the encoder a noisy, masked version."""
        waveform = draw.real().signal
        if self.config.varied == "guided":
            real = self.spectrogram(waveform)
            return real, real
        waveform = moved(waveform, draw, self.config.shift, 0.0)
        seen = self.spectrogram(moved(waveform, draw, 0, self.config.noise))
        return self.spectrogram(waveform), masked(seen, draw, self.config.mask)

    def _varied(self, waveform: Float[Tensor, "b n"], draw: Draw) -> Float[Tensor, "b f t"]:
        """Spectrograms of guided clips as the classifier learns from them. The paper varies nothing."""
        config, draw = self.config, replace(draw, batch=len(waveform) * draw.world.size)
        if config.shift or config.noise:
            waveform = moved(waveform, draw, config.shift, config.noise)
        spectrogram = self.spectrogram(waveform)
        return masked(spectrogram, draw, config.mask) if config.mask else spectrogram

    def settle(self, draw: Draw) -> None:
        """As `autoencoder_losses` calls them, varied guided clips among the others: their share is part of the statistics that
        the classifier learned with, and without them it hears a third as well."""
        (_, seen), guided = self._real(draw), self.guided(draw)
        guided_latent, style = self.final("encoder")(torch.cat([seen, self._varied(guided.signal, draw)]))
        heard = self.final("classifier")(guided_latent[: len(seen)]).softmax(1)
        drawn, wanted = self.latents(draw), self.drawn_labels(draw)
        self.final("decoder")(torch.cat([style[: len(seen)], drawn]), torch.cat([heard, wanted]))

    def reconstruct(self, spectrogram: Float[Tensor, "b f t"]) -> Float[Tensor, "b f t"]:
        guided_latent, style = self.final("encoder")(spectrogram)
        return self.final("decoder")(style, self.final("classifier")(guided_latent).softmax(1))


def _check(config: GaaeConfig, manifest: ShardManifest) -> None:
    check_family(config, manifest)
    if config.guided_batch:
        check_divisible("guided_batch", config.guided_batch, config.workers)


RECIPE = Recipe(of_family(GaaeObjective), _check)
