"""Generators are guests: inversion knows one only by its latent size, its prior and its forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from invertone.audio.front_end import FrontEnd
from invertone.cluster.config.checks import is_class
from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import MANIFEST, CheckpointManifest, resolve
from invertone.cluster.formats.signals import SignalFormat, kind_of
from invertone.cluster.storage.folder import Folder
from invertone.models.autoencoder import DECODERS, hears, label_names_of, load_autoencoder
from invertone.models.checkpoint import load_network
from invertone.models.guests import trial
from invertone.models.guests.classes import load_class
from invertone.models.guests.exported import is_program, load_program, read_program
from invertone.models.prior import Prior, seeded

GENERATING = {"wavegan": "generator", "dcgan": "generator", "progan": "generator_average"}
"""Kinds of checkpoints of which one network is a generator, and its name."""
CHECKPOINTS = (*GENERATING, *DECODERS)
"""Kinds of checkpoints that generate."""

FORMS = "give the folder of a checkpoint, package.module:Class, FILE.pt2 (torch.export) or FILE.pt (TorchScript)"


@runtime_checkable
class Generator(Protocol):
    """latent [b, latent_size], drawn from `prior` → signals of full scale ±1: waveforms [b, n], of two channels
    [b, 2, n]; pictures [b, 3, h, w]. `generator_format` says which it makes."""

    latent_size: int
    prior: Prior

    def __call__(
        self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None
    ) -> Float[Tensor, "b ..."]: ...


@runtime_checkable
class SpectrogramGenerator(Generator, Protocol):
    """One whose network makes log-magnitude spectrograms as `front_end` makes them of clips; its sound is what phase recovery
    makes of these, and has no gradient. Inversion by gradient looks at the spectrogram.

    label_names: of the labels that it takes, by number; none where it takes none. spectrogram: of latents and shares of the
    labels (one-hot, say), with a gradient to the latents. sound: its waveforms, whose phases one seed per clip decides
    where they are too faint to have one; loudest: the magnitudes that 1 shall stand for, of clips what `level` says.
    """

    front_end: FrontEnd
    label_names: tuple[str, ...]

    def spectrogram(
        self, style: Float[Tensor, "b z"], probabilities: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b f t"]: ...

    def sound(
        self,
        spectrogram: Float[Tensor, "b f t"],
        seeds: Sequence[int],
        loudest: Float[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b n"]: ...

    def level(self, waveform: Float[Tensor, "b n"]) -> Float[Tensor, " b"]: ...


@dataclass(frozen=True)
class Traits:
    """What jobs ask of a generator before they load it. kind: of its checkpoint, None of a guest. label_names: of the labels
    that it takes. spectrograms: whether its network makes spectrograms (`SpectrogramGenerator`). encodes: whether it has an
    encoder of its own, which gives latents, and a classifier on it, which hears its labels. signal: whether it makes a `clip`
    or a `picture`."""

    kind: str | None
    label_names: tuple[str, ...] = ()
    spectrograms: bool = False
    encodes: bool = False
    signal: str = "clip"


def traits(uri: str) -> Traits:
    """Of the generator that `uri` names. No weights of a checkpoint are read, nothing of a program is run; a class is
    constructed."""
    if is_class(uri) or is_program(uri):
        description = load_class(uri)[0] if is_class(uri) else read_program(uri)[1]
        return Traits(None, description.label_names, signal=kind_of(description.format))
    manifest = _checkpoint(uri)[1]
    if manifest.kind not in DECODERS:
        return Traits(manifest.kind, signal=kind_of(manifest.format))
    return Traits(manifest.kind, label_names_of(manifest), True, hears(manifest))


def load_generator(uri: str, device: torch.device | None = None, expected: str | None = None) -> tuple[Generator, str]:
    """The generator that `uri` names, frozen, tried and on `device`, and its digest: it identifies what is computed.

    uri: a checkpoint's or a training run's folder, `package.module:Class`, FILE.pt2 (`torch.export`) or FILE.pt
    (TorchScript). expected: the digest that the driver saw. Raises UserError for all that is wrong with it.
    """
    place = device or torch.device("cpu")
    if is_class(uri) or is_program(uri):
        guest, digest = load_class(uri) if is_class(uri) else load_program(uri)
        guest = guest.to(place)
        _expect(uri, digest, expected)
        trial.check(guest, uri, place)
        return cast(Generator, guest), digest
    folder, manifest = _checkpoint(uri)
    _expect(uri, manifest.digest, expected)
    if manifest.kind in DECODERS:
        return load_autoencoder(folder, manifest, device), manifest.digest
    network, _ = load_network(folder.uri, "generator", manifest.kind, GENERATING[manifest.kind], device)
    return cast(Generator, network), manifest.digest


def generator_levels(uri: str) -> str:
    """How the levels of clips were handled that a checkpoint learned from; guests take them as they are."""
    return "untouched" if is_class(uri) or is_program(uri) else _checkpoint(uri)[1].levels


def generator_format(uri: str) -> SignalFormat:
    """The format of the signals that the generator makes. A class is imported and constructed, of a program nothing is run."""
    if is_class(uri):
        return load_class(uri)[0].format
    return read_program(uri)[1].format if is_program(uri) else _checkpoint(uri)[1].format


def generator_kind(uri: str) -> str | None:
    """The kind of checkpoint that `uri` names; None for guests."""
    return None if is_class(uri) or is_program(uri) else _checkpoint(uri)[1].kind


def check_differentiable(uri: str) -> None:
    """Raises UserError for a generator whose sound has no gradient to its latent."""
    kind = generator_kind(uri)
    if kind in DECODERS:
        own = "gaae`, hybrid or gradient" if traits(uri).encodes else "gradient`"
        raise UserError(
            f"generator is a {kind} checkpoint, whose sound comes from phase recovery and has no gradient",
            where=uri,
            fix=f"it needs no mapper: use `invertone infer {own}",
        )


def generator_digest(uri: str) -> str:
    """The digest of the generator that `uri` names. No weights of a checkpoint are read, nothing of a program is run."""
    if is_class(uri):
        return load_class(uri)[1]
    return read_program(uri)[2] if is_program(uri) else _checkpoint(uri)[1].digest


def check_generator(uri: str) -> str:
    """What can be refused before a job starts; returns the digest. Guests are loaded and tried, on the CPU."""
    if not (is_class(uri) or is_program(uri)):
        return generator_digest(uri)
    generator, digest = load_generator(uri)
    if is_class(uri):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch.initial_seed() + 1)
            again, other = load_class(uri)
        latent = generator.prior.sample(1, generator.latent_size, seeded("constructed twice"))
        with torch.no_grad():
            same = other == digest and torch.allclose(generator(latent), again(latent), atol=trial.TOLERANCE)
        if not same:
            raise UserError(
                "is another generator each time it is constructed",
                where=uri,
                fix="load its trained weights in __init__ (every worker constructs its own)",
            )
    return digest


def _checkpoint(uri: str) -> tuple[Folder, CheckpointManifest]:
    """The checkpoint of a generator. A `uri` that is nothing of the kind is told what it could be."""
    place = Folder.at(uri)
    name = place.uri.rpartition("/")[2]
    if not place.exists():
        fix = FORMS
        if ":" in name:
            fix = f"a class is named by its module, as {name.replace('.py:', ':').rstrip('()')}, not by a path"
        raise UserError("generator: nothing is there", where=place.uri, fix=fix)
    if not place.exists(MANIFEST) and not place.folders() and not place.names():
        raise UserError(
            f"generator: {name} is neither a checkpoint nor a file of a kind known here", where=place.uri, fix=FORMS
        )
    folder, manifest = resolve(uri, "generator")
    if manifest.kind not in CHECKPOINTS:
        raise UserError(
            f"generator is a {manifest.kind} checkpoint, not one of {', '.join(CHECKPOINTS)}",
            where=folder.uri,
            fix=FORMS,
        )
    return folder, manifest


def _expect(uri: str, digest: str, expected: str | None) -> None:
    """A worker on another machine may see another module, and a run under training may have a new best checkpoint."""
    if expected is not None and digest != expected:
        raise UserError(
            "generator here is not the one that the job was started with",
            where=uri,
            fix="give every worker the same files, and name a checkpoint that does not change",
        )
