"""Weights that a training begins with, instead of random ones."""

from __future__ import annotations

from torch import nn

from cluster.checkpoints import WEIGHTS, read_file
from cluster.errors import UserError
from models.checkpoint import describe, folder_of, load_weights

NETWORKS = ("mapper", "encoder")


def load_initial(uri: str, network: nn.Module) -> None:
    """Puts the mapper of a checkpoint, or the encoder of an autoencoder's, into `network`.

    Raises UserError where the checkpoint has none of its shape.
    """
    folder, manifest = folder_of(uri, "initial")
    name = next((each for each in NETWORKS if each in manifest.networks), None)
    if name is None:
        raise UserError(
            "initial has neither a mapper nor an encoder", where=folder.uri, fix="give a mapper's run, or one of wae"
        )
    wanted, has = describe({name: network})[name], manifest.networks[name]
    differing = [f"{key} {has.get(key)} → {value}" for key, value in wanted.items() if has.get(key) != value]
    if differing:
        raise UserError(
            f"initial is of another shape: {', '.join(differing)}",
            where=folder.uri,
            fix="set these keys as it has them",
        )
    load_weights({name: network}, read_file(folder, manifest, WEIGHTS), folder.uri)
