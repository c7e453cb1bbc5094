"""Whatever hears labels in clips: a classifier by itself, or encoder and classifier of GAAE, GGAN and BiGAN."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest, resolve
from invertone.cluster.storage.folder import Folder
from invertone.models.autoencoder import ENCODED, SpectrogramAutoencoder, hears, load_autoencoder
from invertone.models.checkpoint import CLASSIFIERS, load_network

ALONE = CLASSIFIERS
"""Kinds whose network `classifier` hears waveforms by itself."""


class EncodedLabeller(nn.Module):
    """Waveforms → logits, by way of the encoder's guided latent."""

    def __init__(self, autoencoder: SpectrogramAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, "b k"]:
        return self.autoencoder.encode(waveform).probabilities.log()


def labeller_manifest(uri: str, role: str) -> tuple[Folder, CheckpointManifest]:
    """Where the checkpoint lies and what it is; no weights are read. `role` is the config key that gave `uri`."""
    folder, manifest = resolve(uri, role)
    if manifest.kind not in ALONE + ENCODED:
        raise UserError(
            f"{role} is a {manifest.kind} checkpoint, which hears no labels",
            where=folder.uri,
            fix=f"give one of {', '.join(ALONE + ENCODED)}",
        )
    if manifest.kind in ENCODED and not hears(manifest):
        raise UserError(
            f"{role} is a {manifest.kind} whose classifier is still to be trained",
            where=folder.uri,
            fix="train one: invertone train bigan-classifier encoder=…",
        )
    return folder, manifest


def load_labeller(uri: str, role: str, device: torch.device | None = None) -> tuple[nn.Module, CheckpointManifest]:
    """A frozen network: waveforms [b, n] → logits [b, labels]; averaged weights where there are such."""
    folder, manifest = labeller_manifest(uri, role)
    if manifest.kind in ALONE:
        return load_network(folder.uri, role, manifest.kind, "classifier", device)
    return EncodedLabeller(load_autoencoder(folder, manifest, device)), manifest
