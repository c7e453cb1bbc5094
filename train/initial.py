"""Weights that a training begins with, instead of random ones."""

from __future__ import annotations

import torch
from torch import nn

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import WEIGHTS, read_file
from invertone.models.checkpoint import build, describe, folder_of, load_networks, load_weights
from invertone.models.networks.restyle import RestyleMapper

NETWORKS = ("mapper", "encoder")


def load_initial(uri: str, network: nn.Module) -> None:
    """Puts the mapper of a checkpoint, or the encoder of an autoencoder's, into `network`.

    An iterative mapper takes a ResNet-18 for the target: to its reconstruction and to the difference it is blind
    at first, so that its first pass is that network's, and only the later ones are to be learned. Raises UserError where the
    checkpoint has none of its shape.
    """
    folder, manifest = folder_of(uri, "initial")
    name = next((each for each in NETWORKS if each in manifest.networks), None)
    if name is None:
        raise UserError(
            "initial has neither a mapper nor an encoder", where=folder.uri, fix="give a mapper's run, or one of wae"
        )
    # As it is built today: an older version's manifest lacks what it did not have to say.
    wanted, has = describe({name: network})[name], describe({name: build(manifest, name, folder.uri)})[name]
    blind = (wanted["network"], has["network"]) == ("restyle_mapper", "resnet18")
    has["network"] = "restyle_mapper" if blind else has["network"]
    differing = [f"{key} {has.get(key)} → {value}" for key, value in wanted.items() if has.get(key) != value]
    if differing:
        raise UserError(
            f"initial is of another shape: {', '.join(differing)}",
            where=folder.uri,
            fix="set these keys as it has them",
        )
    if not blind:
        load_weights({name: network}, read_file(folder, manifest, WEIGHTS), folder.uri)
        return
    assert isinstance(network, RestyleMapper)
    sighted = load_networks(folder, manifest, (name,))[name].state_dict()
    stem = sighted["stem.0.weight"]
    sighted["stem.0.weight"] = torch.cat([stem, torch.zeros_like(stem), torch.zeros_like(stem)], 1)
    network.resnet.load_state_dict(sighted)
