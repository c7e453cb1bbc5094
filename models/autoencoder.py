"""The GAAE family in use: clips → latents and class probabilities, latents and labels → spectrograms and sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest, resolve
from invertone.cluster.storage.folder import Folder
from invertone.models.checkpoint import load_networks
from invertone.models.networks.gaae import Decoder, Encoder, Head
from invertone.models.networks.phase import loudest_bins, waveforms
from invertone.models.prior import Prior

DECODERS = {"gaae": "decoder", "ggan": "generator", "biggan": "generator", "bigan": "generator"}
"""The network that makes spectrograms, by the checkpoint's kind."""
ENCODED = ("gaae", "ggan", "bigan")
"""Kinds that have an encoder, and a classifier unless theirs is still to be trained (see `hears`)."""
AVERAGE = "_average"
ANY_SEED = 0


@dataclass(frozen=True)
class Encoded:
    """guided [b, z]: what the classifier hears. style [b, s]: what the decoder takes; of GGAN and BiGAN the same.
    probabilities [b, k]: of the labels."""

    guided: Float[Tensor, "b z"]
    style: Float[Tensor, "b s"]
    probabilities: Float[Tensor, "b k"]


class SpectrogramAutoencoder(nn.Module):
    """A trained GAAE, GGAN, BiGAN or BigGAN (which has no encoder), by averaged weights.

    As a generator (models/generator.py) it takes style latents from its prior; its sound has no gradient, because phases
    are recovered and not computed, but its spectrograms have. Without a label it takes the one that the latent's first
    coordinate stands for. label_names: of the labels that the decoder takes, none where it takes none.
    """

    differentiable = False

    def __init__(
        self,
        decoder: Decoder,
        front_end: FrontEnd,
        labels: int,
        encoder: Encoder | None = None,
        classifier: Head | None = None,
        prior: Prior | None = None,
        label_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.decoder, self.encoder, self.classifier, self.front_end = decoder, encoder, classifier, front_end
        self.labels = labels
        names = tuple(label_names) or tuple(map(str, range(labels)))
        self.label_names = names if decoder.classes else ()
        self.latent_size, self.prior = decoder.latent_size, prior or Prior("normal")

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b n"]:
        """Sound of style latents and labels, on the latents' device."""
        if label is None:
            label = self.prior.label(latent, self.labels)
        spectrogram = self.spectrogram(latent, F.one_hot(label, self.labels).to(latent.dtype))
        return self.sound(spectrogram, [ANY_SEED] * len(latent)).to(latent.device)

    def spectrogram(self, style: Float[Tensor, "b z"], probabilities: Float[Tensor, "b k"]) -> Float[Tensor, "b f t"]:
        """Log-magnitude spectrograms; a decoder without classes hears of none."""
        return self.decoder(style, probabilities if self.decoder.classes else None)

    def sound(
        self,
        spectrogram: Float[Tensor, "b f t"],
        seeds: Sequence[int],
        loudest: Float[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b n"]:
        """Waveforms on the CPU, within full scale; see models/networks/phase.py."""
        return waveforms(spectrogram, self.front_end, seeds, loudest).clamp(-1.0, 1.0)

    def encode(self, waveform: Float[Tensor, "b n"]) -> Encoded:
        """Latents and probabilities of clips."""
        assert self.encoder is not None and self.classifier is not None, "checked when the job was planned"
        latents = self.encoder(log_magnitude(waveform, self.front_end))
        return Encoded(latents[0], latents[-1], self.classifier(latents[0]).softmax(1))

    def style(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b s"]:
        """The encoder's latents of clips, which the decoder takes."""
        return self.encode(waveform).style

    def heard(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b k"]:
        """Probabilities of the labels, by the family's own classifier."""
        return self.encode(waveform).probabilities

    def level(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
        """What `sound` needs to give reconstructions the clips' levels: the magnitude that 1 stands for."""
        if self.front_end.reference == "full_scale":
            return waveform.new_ones(len(waveform))
        return loudest_bins(waveform, self.front_end)


def label_names_of(manifest: CheckpointManifest) -> tuple[str, ...]:
    """The labels that the decoder of a checkpoint of the family takes; none where it was trained without."""
    decoder = manifest.networks.get(DECODERS[manifest.kind] + AVERAGE) or {}
    return manifest.label_names if decoder.get("classes", len(manifest.label_names)) else ()


def hears(manifest: CheckpointManifest) -> bool:
    """Whether a checkpoint has an encoder and a classifier on it. A BiGAN on top of a BigGAN gets its classifier later."""
    return manifest.kind in ENCODED and "classifier" + AVERAGE in manifest.networks


def family_manifest(uri: str, role: str) -> tuple[Folder, CheckpointManifest]:
    """Where a checkpoint of the family lies and what it is; no weights are read. `role` is the config key that gave `uri`."""
    folder, manifest = resolve(uri, role)
    if manifest.kind not in DECODERS:
        raise UserError(
            f"{role} is a {manifest.kind} checkpoint", where=folder.uri, fix=f"give one of {', '.join(DECODERS)}"
        )
    return folder, manifest


def load_autoencoder(
    folder: Folder, manifest: CheckpointManifest, device: torch.device | None = None
) -> SpectrogramAutoencoder:
    """The networks of a checkpoint of the family, frozen."""
    decoder = DECODERS[manifest.kind] + AVERAGE
    others = ("encoder" + AVERAGE, "classifier" + AVERAGE) if hears(manifest) else ()
    networks = load_networks(folder, manifest, (decoder, *others), device)
    encoder, classifier = (networks[name] for name in others) if others else (None, None)
    return SpectrogramAutoencoder(
        networks[decoder],  # type: ignore[arg-type]
        FrontEnd(**manifest.front_end),
        len(manifest.label_names),
        encoder,  # type: ignore[arg-type]
        classifier,  # type: ignore[arg-type]
        Prior(**manifest.prior) if manifest.prior else None,
        manifest.label_names,
    )
