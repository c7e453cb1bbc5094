"""Models made small, to be given away: what inference needs of a checkpoint, in half precision, and a card."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import (
    WEIGHTS,
    CheckpointManifest,
    publish,
    read_file,
    read_manifest,
    resolve,
)
from invertone.cluster.formats.runs import recorded
from invertone.cluster.formats.signals import kind_of
from invertone.cluster.formats.trainings import SPEED
from invertone.cluster.storage import shipped
from invertone.cluster.storage.folder import Folder, sha256

CARD = "README.md"
GENERATES = {"wavegan": ("generator",), "dcgan": ("generator",), "progan": ("generator_average",)}
"""Networks that inference needs, of kinds that hold more: critics, discriminators and the encoder of an autoencoder only train.
Of GAAE's family it needs the averaged ones."""


def pack(uri: str, out: str, notes: str = "") -> CheckpointManifest:
    """Writes the checkpoint that `uri` means into `out`: matrices and kernels as float16, vectors (biases, statistics of
    batch norm) as they are, no state of optimisers, and its card.

    notes: a Markdown file whose text the card ends with. Raises UserError where there is no checkpoint, `out` holds
    something else, or a weight is beyond float16.
    """
    folder, manifest = resolve(uri, "checkpoint")
    text = _text(notes) if notes else ""
    networks = {name: manifest.networks[name] for name in _needed(manifest)}
    weights = _halved(read_file(folder, manifest, WEIGHTS), tuple(networks), folder.uri)
    kept = dataclasses.replace(manifest, networks=networks, files={WEIGHTS: sha256(weights)})
    described = card(kept, len(weights), _origin(Folder.at(uri)), text)
    return _written(kept, out, {WEIGHTS: weights}, described.encode())


def _needed(manifest: CheckpointManifest) -> tuple[str, ...]:
    from invertone.models.autoencoder import AVERAGE, DECODERS  # it loads torch, which cards do not need

    if manifest.kind in DECODERS:
        return tuple(name for name in manifest.networks if name.endswith(AVERAGE))
    return GENERATES.get(manifest.kind, tuple(manifest.networks))


def copy(uri: str, out: str) -> CheckpointManifest:
    """Writes the checkpoint that `uri` means, as it is, into `out`. Raises UserError as `pack` does."""
    folder, manifest = resolve(uri, "checkpoint")
    files = {name: read_file(folder, manifest, name) for name in manifest.files}
    return _written(manifest, out, files, card_of(uri).encode())


def card_of(uri: str) -> str:
    """The card that a model has, "" if none. A shipped model's is followed by its family's, which tells data, licence, quality
    and limits."""
    folder = Folder.at(uri)
    family = [Folder(folder.uri.rpartition("/")[0])] if shipped.is_shipped(uri) else []
    return "\n".join(each.read_bytes(CARD).decode() for each in (folder, *family) if each.exists(CARD))


def _written(
    manifest: CheckpointManifest, out: str, files: Mapping[str, bytes], described: bytes
) -> CheckpointManifest:
    """Publishes into `out`, which is empty or holds this very checkpoint: no other model is ever written over."""
    target = Folder.at(out)
    there = read_manifest(target)
    if there is None and (target.folders() or target.names()):
        raise UserError("out is neither empty nor a checkpoint", where=target.uri, fix="give a new folder as out")
    if there is not None and there.digest != manifest.digest:
        raise UserError(f"out holds another {there.kind} checkpoint", where=target.uri, fix="give a new folder as out")
    if described:
        target.publish_bytes(CARD, described)
    return publish(target, manifest, files)


def _text(notes: str) -> str:
    try:
        return Path(notes).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no UTF-8"
        raise UserError(f"notes cannot be read: {reason}", where=notes, fix="give a Markdown file") from None


def _halved(data: bytes, networks: tuple[str, ...], where: str) -> bytes:
    import safetensors.torch
    import torch

    found = safetensors.torch.load(data)
    kept = {}
    for name, tensor in found.items():
        if name.partition(".")[0] not in networks:
            continue
        if tensor.is_floating_point() and tensor.ndim >= 2:
            half = tensor.to(torch.float16)
            if not bool(torch.isfinite(half).all()):
                raise UserError(f"{name} has weights beyond float16", where=where, fix="share the checkpoint itself")
            tensor = half
        kept[name] = tensor.contiguous()
    return safetensors.torch.save(kept)


def _origin(folder: Folder) -> dict[str, Any]:
    """How a run made its model: command, settings, time; empty for a bare checkpoint."""
    try:
        record = recorded(folder)
    except UserError:
        return {}
    origin = {"command": f"invertone {record['stage']} {record['name']}", "config": record["config"]}
    if folder.exists(SPEED):
        origin["steps_per_second"] = folder.read_json(SPEED)["steps_per_second"]
    return origin | {"versions": record["versions"]}


def card(manifest: CheckpointManifest, size: int, origin: Mapping[str, Any], notes: str) -> str:
    """What a checkpoint is, in Markdown: a table of facts that its manifest and run know, and `notes`."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in _facts(manifest, size, origin))
    return f"# {manifest.kind}\n\n| | |\n|---|---|\n{rows}\n\n{notes}".rstrip() + "\n"


def _facts(manifest: CheckpointManifest, size: int, origin: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, architecture in manifest.networks.items():
        described = ", ".join(f"{k} {_plain(v)}" for k, v in architecture.items() if k != "network" and v != {})
        yield f"network `{name}`", f"{architecture['network']}: {described}"
    yield "weights", f"{size / 1e6:.1f} MB, matrices and kernels float16"
    signals = f"{kind_of(manifest.format)}s"
    yield signals, str(manifest.format) + (f", levels {manifest.levels}" if signals == "clips" else "")
    if manifest.label_names:
        yield "labels", ", ".join(manifest.label_names)
    if manifest.prior:
        yield "prior", ", ".join(f"{k} {v}" for k, v in manifest.prior.items())
    if origin:
        yield "trained by", f"`{origin['command']}` (invertone {origin['versions'].get('invertone')})"
    yield "updates", f"{manifest.step:,}"
    speed = origin.get("steps_per_second", 0.0)
    if speed and math.isfinite(speed):
        yield "time", f"{manifest.step / speed / 3600:.1f} hours (torch {origin['versions'].get('torch')})"
    data = manifest.data
    if data:
        yield (
            "data",
            (
                f"{data['training_clips']:,} training and {data['validation_clips']:,} validation {signals} of "
                f"{data['corpus']}, digest {data['digest'][:16]}"
            ),
        )
    for role, digest in manifest.inputs.items():
        yield f"trained with {role}", f"digest {digest[:16]}"
    for name, value in manifest.metrics.items():
        yield f"in its last validation: {name.replace('_', ' ')}", f"{value:.4g}"
    yield "digest", f"`{manifest.digest}`"


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{k} {v}" for k, v in value.items()) + ")"
    return str(value)


@dataclasses.dataclass(frozen=True)
class Shipped:
    """A model that comes with the package: its address, what it is, and the size of its weights."""

    uri: str
    manifest: CheckpointManifest
    bytes: int


def shipped_models() -> list[Shipped]:
    """All of them, by address."""
    found = []
    for uri in shipped.models():
        folder = Folder.at(uri)
        manifest = read_manifest(folder)
        assert manifest is not None, uri
        found.append(Shipped(uri, manifest, sum(folder.size(name) for name in manifest.files)))
    return found
