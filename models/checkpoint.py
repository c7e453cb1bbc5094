"""Networks from and to checkpoints. Weights are safetensors: nothing in a checkpoint is ever executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import WEIGHTS, CheckpointManifest, read_file, resolve
from invertone.cluster.storage.folder import Folder
from invertone.models.networks.cnn import SimpleCnn, SpectrogramCnn
from invertone.models.networks.dcgan import DcganDiscriminator, DcganGenerator
from invertone.models.networks.gaae import Decoder, Encoder, Head, SampleDiscriminator
from invertone.models.networks.listening import SignalClassifier
from invertone.models.networks.picture_mapper import PictureMapper
from invertone.models.networks.progan import ProganDiscriminator, ProganGenerator
from invertone.models.networks.recogniser import Recogniser
from invertone.models.networks.resnet import ResNet18
from invertone.models.networks.restyle import RestyleMapper
from invertone.models.networks.wavegan import WaveganCritic, WaveganGenerator
from invertone.models.networks.wavegan_inception import WaveganInception

NETWORKS: dict[str, type[nn.Module]] = {
    "wavegan_generator": WaveganGenerator,
    "wavegan_critic": WaveganCritic,
    "resnet18": ResNet18,
    "restyle_mapper": RestyleMapper,
    "encoder": Encoder,
    "decoder": Decoder,
    "sample_discriminator": SampleDiscriminator,
    "head": Head,
    "simple_cnn": SimpleCnn,
    "spectrogram_cnn": SpectrogramCnn,
    "wavegan_inception": WaveganInception,
    "dcgan_generator": DcganGenerator,
    "dcgan_discriminator": DcganDiscriminator,
    "progan_generator": ProganGenerator,
    "progan_discriminator": ProganDiscriminator,
    "picture_mapper": PictureMapper,
    "recogniser": Recogniser,
}
CLASSIFIER, CNN, RECOGNISER = CLASSIFIERS = ("classifier", "cnn", "recogniser")
"""Kinds whose network `classifier` is a `SignalClassifier`: whatever asks for a `classifier` takes any that is for its signals.
"""
MAPPER, PICTURE_MAPPER = MAPPERS = ("mapper", "picture-mapper")
"""Kinds of inverse mappers, whose network `mapper` is a `SignalClassifier` from clips or pictures to latents."""


def describe(networks: Mapping[str, nn.Module]) -> dict[str, dict[str, Any]]:
    """Class and architecture of each network, for the manifest."""
    kinds = {network: name for name, network in NETWORKS.items()}
    return {
        name: {"network": kinds[type(module)], **module.architecture()}  # type: ignore[operator]
        for name, module in networks.items()
    }


def weights_bytes(networks: Mapping[str, nn.Module]) -> bytes:
    tensors = {
        f"{name}.{key}": value.contiguous().cpu()
        for name, net in networks.items()
        for key, value in net.state_dict().items()
    }
    return safetensors.torch.save(tensors)


def build(manifest: CheckpointManifest, name: str, where: str) -> nn.Module:
    """The network `name` of a checkpoint, untrained."""
    architecture = dict(manifest.networks.get(name) or {})
    kind = architecture.pop("network", None)
    if kind not in NETWORKS:
        raise UserError(
            f"checkpoint has no network {name!r} of a kind known here", where=where, fix="use a newer version"
        )
    try:
        return NETWORKS[kind](**architecture)
    except TypeError as error:
        raise UserError(
            f"architecture of {name!r} is not understood: {error}", where=where, fix="use a newer version"
        ) from None


def load_weights(networks: Mapping[str, nn.Module], data: bytes, where: str) -> None:
    """Puts the tensors of a weights file into `networks`, every one of them."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
        for name, network in networks.items():
            prefix = f"{name}."
            network.load_state_dict(
                {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            )
    except (safetensors.SafetensorError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise UserError(f"weights do not fit: {first}", where=where, fix="use another checkpoint") from None


def load_network(
    uri: str, role: str, kind: str | tuple[str, ...], name: str, device: torch.device | None = None
) -> tuple[nn.Module, CheckpointManifest]:
    """A trained network, frozen and in evaluation mode. `role` is the config key that gave `uri`."""
    folder, manifest = resolve(uri, role, kind)
    return load_networks(folder, manifest, (name,), device)[name], manifest


def load_networks(
    folder: Folder, manifest: CheckpointManifest, names: Sequence[str], device: torch.device | None = None
) -> dict[str, nn.Module]:
    """Some trained networks of one checkpoint, frozen and in evaluation mode."""
    networks = {name: build(manifest, name, folder.uri) for name in names}
    load_weights(networks, read_file(folder, manifest, WEIGHTS), folder.uri)
    return {
        name: network.requires_grad_(False).eval().to(device or torch.device("cpu"))
        for name, network in networks.items()
    }


def load_classifier(uri: str, device: torch.device | None = None) -> tuple[SignalClassifier, CheckpointManifest]:
    """Of any of the kinds `CLASSIFIERS`."""
    network, manifest = load_network(uri, "classifier", CLASSIFIERS, "classifier", device)
    assert isinstance(network, SignalClassifier)
    return network, manifest


def load_listener(uri: str, device: torch.device | None = None) -> SignalClassifier:
    """The network of a checkpoint that hears clips and was taught by no label: a mapper, or the encoder of an autoencoder of
    waveforms. Raises UserError where there is none."""
    folder, manifest = folder_of(uri, "listener")
    for name in ("mapper", "encoder"):
        if (manifest.networks.get(name) or {}).get("network") == "resnet18":
            network = load_networks(folder, manifest, (name,), device)[name]
            assert isinstance(network, SignalClassifier)
            return network
    raise UserError(
        f"listener is a {manifest.kind} checkpoint, which has neither a mapper nor an encoder that hears waveforms",
        where=folder.uri,
        fix="give a run of mapper or of wae; a classifier is classifier=",
    )


def load_mapper(uri: str, device: torch.device | None = None) -> tuple[SignalClassifier, CheckpointManifest]:
    """Of any of the kinds `MAPPERS`: its outputs are latents."""
    network, manifest = load_network(uri, "mapper", MAPPERS, "mapper", device)
    assert isinstance(network, SignalClassifier)
    return network, manifest


def load_restyle_mapper(uri: str, device: torch.device | None = None) -> tuple[RestyleMapper, CheckpointManifest]:
    network, manifest = load_network(uri, "mapper", "restyle", "mapper", device)
    assert isinstance(network, RestyleMapper)
    return network, manifest


def folder_of(uri: str, role: str, kind: str | None = None) -> tuple[Folder, CheckpointManifest]:
    """Where a checkpoint lies and what it is; no weights are read. A `classifier` is any of the kinds `CLASSIFIERS`, a `mapper`
    any of `MAPPERS`."""
    return resolve(uri, role, {CLASSIFIER: CLASSIFIERS, MAPPER: MAPPERS}.get(kind or "", kind))
