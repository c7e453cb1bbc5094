"""What GAAE, GGAN, BigGAN and BiGAN share: spectrograms, labels as probabilities, hinge losses, averages, samples."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.cluster.errors import UserError
from invertone.cluster.formats.shards import ShardManifest
from invertone.models.checkpoint import load_classifier
from invertone.models.networks.gaae import (
    COLUMNS,
    HEIGHTS,
    PATCHES,
    ROWS,
    Decoder,
    Encoder,
    SampleDiscriminator,
    halvings,
)
from invertone.models.networks.phase import waveforms
from invertone.models.prior import Prior, seeded
from invertone.train.inception import judged, judged_sums
from invertone.train.loop.schedule import scheduled
from invertone.train.objective import Average, Batch, Draw, Phase
from invertone.train.recipe import Setting
from invertone.train.schemas.spectrogram_gan import SpectrogramGanConfig

BETA2 = 0.999
OVERLAP = 4
"""Frames over each sample at least: with fewer phases are not recovered well (Marafioti et al. 2019, 2.2)."""
AVERAGE = "_average"


def hinge_real(score: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """A discriminator's loss where it should say real (Lim & Ye 2017)."""
    return F.relu(1 - score).mean()


def hinge_fake(score: Float[Tensor, " b"]) -> Float[Tensor, ""]:
    """A discriminator's loss where it should say fake."""
    return F.relu(1 + score).mean()


class SpectrogramGanObjective:
    """Base of the family. Adam with betas (0, 0.999), orthogonal initial weights, moving averages: as BigGAN, where the
    papers are silent. A validation reads no label unless it is told to, so that there is no best checkpoint by accuracy, only
    a newest."""

    kind = ""
    decodes = "generator"
    """The network that makes spectrograms."""
    better: tuple[str, int] | None = None
    frozen: Mapping[str, nn.Module] = {}
    """The classifier that judges generated clips, if there is one; it never trains anything."""
    phases: tuple[Phase, ...]

    def __init__(
        self,
        config: SpectrogramGanConfig,
        classes: int,
        generators: Mapping[str, nn.Module],
        discriminators: Mapping[str, nn.Module],
        averaged: tuple[str, ...],
    ) -> None:
        self.family_config, self.classes, self.prior = config, classes, Prior(config.prior)
        self.front_end = FrontEnd(**dataclasses.asdict(config.front_end))
        trained = {**generators, **discriminators}
        copies = {name + AVERAGE: copy.deepcopy(generators[name]) for name in averaged}
        self.networks = {**trained, **copies}
        self.averages = tuple(
            Average(generators[name], copies[name + AVERAGE], config.average) for name in averaged if name in generators
        )
        self.optimisers = {
            name: torch.optim.Adam(
                network.parameters(),
                config.learning_rate if name in generators else config.discriminator_learning_rate,
                betas=(config.beta1 if name in generators else 0.0, BETA2),
            )
            for name, network in trained.items()
        }

    def learning_rate(self, step: int) -> float:
        return scheduled(self.family_config.schedule, step, self.family_config.steps)

    def spectrogram(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b f t"]:
        return log_magnitude(waveform, self.front_end)

    @property
    def drawn_size(self) -> int:
        """Of the latents that the decoder takes."""
        return self.family_config.latent_size

    def latents(self, draw: Draw) -> Float[Tensor, "b z"]:
        return draw.latents(self.prior, self.drawn_size)

    def one_hot(self, label: Int[Tensor, " b"]) -> Float[Tensor, "b k"]:
        """[b, 0] for what knows no labels, and so reads none."""
        if not self.classes:
            return torch.zeros(len(label), 0, device=label.device)
        return F.one_hot(label, self.classes).to(torch.get_default_dtype())

    def drawn_labels(self, draw: Draw) -> Float[Tensor, "b k"]:
        """Labels of clips to generate, all equally likely."""
        return self.one_hot(draw.labels(max(1, self.classes)))

    def guided(self, draw: Draw) -> Batch:
        """The next batch of clips whose labels are known."""
        assert draw.guided is not None
        return draw.guided()

    def final(self, name: str) -> nn.Module:
        """The network that is used in the end: its average."""
        return self.networks[name + AVERAGE]

    def reconstruct(self, spectrogram: Float[Tensor, "b f t"]) -> Float[Tensor, "b f t"] | None:
        """What the averaged networks make of a clip; None where there is no encoder."""
        return None

    def generate(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"]) -> Float[Tensor, "b f t"]:
        """What the averaged generator makes of latents from the prior and labels (beyond the last: from the first again)."""
        return self.final(self.decodes)(latent, self.one_hot(label % max(1, self.classes)))

    def settle(self, draw: Draw) -> None:
        self.generate(self.latents(draw), draw.labels(max(1, self.classes)))
        if "encoder" + AVERAGE in self.networks:
            self.final("encoder")(self.spectrogram(draw.real().signal))

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        spectrogram = self.spectrogram(batch.signal)
        reconstruction = self.reconstruct(spectrogram)
        sums: dict[str, Tensor] = {}
        if reconstruction is not None:
            sums["reconstruction"] = (reconstruction - spectrogram).square().mean((1, 2)).sum()
        if reconstruction is None or self.frozen:
            made = self._generated(batch.number)
            # How far the mean spectrogram of what is generated is from that of real clips.
            sums |= {"real": spectrogram.sum(0).flatten(), "generated": made.sum(0).flatten()}
            if self.frozen:
                judge, sounds = self.frozen["classifier"], waveforms(made, self.front_end, batch.number.tolist())
                asked = (batch.number % self.classes).to(made.device) if self.classes else None
                sums |= judged_sums(judge(batch.signal), judge(sounds.to(made.device)), asked)
        if self.family_config.validate_labels:
            (correct, labelled) = self._told_labels(spectrogram, batch.label)
            sums |= {"correct": correct, "labelled": labelled}
        return sums

    def _told_labels(
        self, spectrogram: Float[Tensor, "b f t"], label: Int[Tensor, " b"]
    ) -> tuple[Int[Tensor, ""], Int[Tensor, ""]]:
        """In how many clips the model's own classifier hears the label they have, and how many have one."""
        told = self.final("classifier")(self.final("encoder")(spectrogram)[0]).argmax(1)
        return (told == label).sum(), (label >= 0).sum()

    def _generated(self, number: Int[Tensor, " b"]) -> Float[Tensor, "b f t"]:
        """One spectrogram per validation clip, of a latent and a label that depend on the clip's number alone."""
        seed, size = self.family_config.seed, self.drawn_size
        draws = [self.prior.sample(1, size, seeded(seed, "validation", each)) for each in number.tolist()]
        device = next(self.final(self.decodes).parameters()).device
        return self.generate(torch.cat(draws).to(device), number.to(device))

    def finish(self, totals: Mapping[str, Tensor], count: int) -> dict[str, float]:
        metrics = judged(totals, count)
        if "labelled" in totals and totals["labelled"] > 0:
            metrics["accuracy"] = float(totals["correct"] / totals["labelled"])
        if "reconstruction" in totals:
            metrics["reconstruction"] = float(totals["reconstruction"]) / count
        if "generated" in totals:
            difference = (totals["real"] - totals["generated"]) / count
            metrics["mean_spectrogram"] = float(difference.square().mean())
        return metrics

    def samples(self, real: Batch) -> dict[str, Tensor]:
        """Clips and their reconstructions; generated clips of the same latents and labels at every checkpoint."""
        for network in self.networks.values():
            network.eval()
        count, device = len(real.signal), real.signal.device
        latent = self.prior.sample(1, self.drawn_size, seeded(self.family_config.seed, "listening"))
        made = {"generated": self.generate(latent.expand(count, -1).to(device), torch.arange(count, device=device))}
        reconstruction = self.reconstruct(self.spectrogram(real.signal))
        if reconstruction is not None:
            made["reconstruction"] = reconstruction
        clips = {f"target-{i}": clip for i, clip in enumerate(real.signal)} if reconstruction is not None else {}
        for name, spectrograms in made.items():
            sounds = waveforms(spectrograms, self.front_end, list(range(count)))
            clips |= {f"{name}-{i}": clip for i, clip in enumerate(sounds)}
        return clips

    def manifest(self) -> dict[str, Any]:
        return {"front_end": dataclasses.asdict(self.front_end), "prior": dataclasses.asdict(self.prior)}


def make_encoder(config: SpectrogramGanConfig, heads: int, style_size: int = 0) -> Encoder:
    return Encoder(
        config.channels,
        config.latent_size,
        heads,
        tuple(config.encoder_multiples),
        config.attention_rows,
        config.encoder_norm,
        config.encoder_patch or config.patch,
        style_size,
        config.encoder_blocks,
        config.rows,
    )


def make_decoder(config: SpectrogramGanConfig, classes: int, latent_size: int | None = None) -> Decoder:
    size = config.latent_size if latent_size is None else latent_size
    return Decoder(
        config.channels,
        size,
        classes,
        tuple(config.decoder_multiples),
        config.attention_rows,
        config.patch,
        config.rows,
    )


def make_discriminator(
    config: SpectrogramGanConfig, classes: int, latent_size: int = 0, joint: int = 0
) -> SampleDiscriminator:
    return SampleDiscriminator(
        config.channels,
        classes,
        latent_size,
        tuple(config.discriminator_multiples),
        config.attention_rows,
        config.patch,
        joint,
        config.rows,
    )


def check_family(config: SpectrogramGanConfig, manifest: ShardManifest) -> None:
    """The family's networks are made for one size of spectrogram, and phases are recovered from frames that overlap."""
    front_end, clips = config.front_end, manifest.clips
    rows, columns = front_end.mels or front_end.n_fft // 2, clips.samples // front_end.hop_length
    hop, largest = clips.samples // COLUMNS, 2 * ROWS // OVERLAP
    fix = f"hop_length: {hop}" if 1 <= hop <= largest else f"clips of an ingest with clip_samples={COLUMNS * largest}"
    if (rows, columns) != (ROWS, COLUMNS) or front_end.mels:
        raise UserError(
            f"front_end gives {rows} x {columns} of {clips}, GAAE's family is for {ROWS} x {COLUMNS} linear frequencies",
            fix=f"use n_fft: 512, mels: 0, and {fix}",
        )
    if front_end.hop_length > largest:
        raise UserError(
            f"hop_length {front_end.hop_length} is more than a quarter of n_fft: phases cannot be recovered",
            fix=f"use {fix}",
        )
    if clips.channels > 1:
        raise UserError("shards are stereo, GAAE's family is for one channel", fix="ingest with channels=1")
    for name, patch in (("patch", config.patch), ("encoder_patch", config.encoder_patch or config.patch)):
        if patch not in PATCHES:
            raise UserError(f"{name}={patch} is none of {', '.join(map(str, PATCHES))}", fix="use one of these")
    if config.rows not in HEIGHTS:
        raise UserError(f"rows={config.rows} is none of {', '.join(map(str, HEIGHTS))}", fix="use one of these")
    heights = [config.rows // config.patch >> block for block in range(1, halvings(config.patch, config.rows))]
    if config.attention_rows not in (0, *heights):
        raise UserError(
            f"attention_rows={config.attention_rows} is no height of a block",
            fix=f"use {', '.join(map(str, heights))} or 0",
        )
    plain = config.encoder_blocks == "plain"
    for name, patch, more in (
        ("encoder_multiples", config.encoder_patch or config.patch, not plain),
        ("discriminator_multiples", config.patch, True),
    ):
        given, count = getattr(config, name), halvings(patch, config.rows)
        if len(given) not in (count, count + more) or min(given) < 1 or (len(given) > count and given[-1] != given[-2]):
            raise UserError(
                f"{name} must be {count} numbers of at least 1" + f", or {count + 1} with the last two equal" * more,
                fix=f"see `invertone train {config.objective} --help`",
            )
    count = halvings(config.patch, config.rows)
    if len(config.decoder_multiples) != count + 1 or min(config.decoder_multiples) < 1:
        raise UserError(
            f"decoder_multiples must be {count + 1} numbers of at least 1",
            fix=f"see `invertone train {config.objective} --help`",
        )


def of_family(
    make: Callable[[Any, int], SpectrogramGanObjective],
) -> Callable[[Any, Setting], SpectrogramGanObjective]:
    """Builds one of the family, with the frozen classifier that judges its samples, if there is one."""

    def build(config: SpectrogramGanConfig, setting: Setting) -> SpectrogramGanObjective:
        objective = make(config, setting.labels)
        if config.classifier:
            objective.frozen = {"classifier": load_classifier(config.classifier)[0]}
        return objective

    return build
