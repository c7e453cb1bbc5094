"""Generators of others behind the protocol of ours: what a guest must say of itself, and the form it is given.

What it does is looked at in `invertone.models.guests.trial`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from invertone.cluster.errors import UserError, did_you_mean
from invertone.cluster.formats.signals import CHANNELS, USUAL, ClipFormat, PictureFormat, SignalFormat
from invertone.models.prior import KINDS, Prior

KEYS = (
    "latent_size",
    "prior",
    "sample_rate",
    "clip_samples",
    "channels",
    "picture_height",
    "picture_width",
    "label_names",
)


@dataclass(frozen=True)
class Description:
    """What inversion must know of a guest and cannot see. label_names: of the labels that it takes beside the latent, by their
    numbers from 0; none where it takes none."""

    latent_size: int
    prior: Prior
    format: SignalFormat = USUAL
    label_names: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Says nothing of what is as usual, but for the rate: digests stay what they were when there was nothing else."""
        made, usual = self.format, (USUAL.samples, USUAL.channels)
        if isinstance(made, PictureFormat):
            signal = {"picture_height": made.height, "picture_width": made.width}
        else:
            said = zip(("clip_samples", "channels"), (made.samples, made.channels), usual, strict=True)
            signal = {"sample_rate": made.sample_rate} | {
                key: value for key, value, as_usual in said if value != as_usual
            }
        names = {"label_names": list(self.label_names)} if self.label_names else {}
        return {"latent_size": self.latent_size, "prior": self.prior.kind} | signal | names


class Guest(nn.Module):
    """A generator of others, frozen: latent [b, latent_size] → signals, as its format says: waveforms [b, n] or
    [b, 2, n], pictures [b, 3, h, w]. `call` is a
    Module or any callable. One that takes labels and is given none takes those that the latents' first coordinates stand
    for."""

    keeps_state = True
    """Whether a call may leave something behind that a call at the same time would find."""

    def __init__(self, description: Description, call: Callable[..., Any]) -> None:
        super().__init__()
        self.description, self.latent_size, self.prior = description, description.latent_size, description.prior
        self.format, self.label_names = description.format, description.label_names
        self.call = call  # a Module becomes a part of this one, and moves with it
        self.requires_grad_(False).eval()

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b ..."]:
        if label is None and self.label_names:
            label = self.prior.label(latent, len(self.label_names))
        return self.made(latent, label)

    def made(self, latent: Tensor, label: Tensor | None = None) -> Any:
        """What the guest gives, whatever it is: `invertone.models.guests.trial` examines it."""
        return self.call(latent) if label is None else self.call(latent, label)


def described(values: Any, where: str, part: str = "key") -> Description:
    """What a guest says of itself, checked. `part` is what a value is called in messages."""
    if not isinstance(values, Mapping):
        raise UserError("is no JSON object", where=where, fix='write {"latent_size": 100, "prior": "uniform"}')
    for key in values:
        if key not in KEYS:
            raise UserError(f"unknown key {key!r}", where=where, fix=f"use {', '.join(KEYS)}{did_you_mean(key, KEYS)}")
    size, prior = values.get("latent_size"), values.get("prior")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        said = "is missing" if size is None else f"is {size!r}, not a positive whole number"
        raise UserError(f"{part} latent_size {said}", where=where, fix="give the length of a latent vector")
    kind = prior.kind if isinstance(prior, Prior) else prior
    if kind not in KINDS:
        said = "is missing" if prior is None else f"is {kind!r}"
        raise UserError(
            f"{part} prior {said}, not {' or '.join(KINDS)}",
            where=where,
            fix="uniform is each coordinate in [-1, 1], normal is standard normal: take the one it was trained with",
        )
    names = _label_names(values.get("label_names"), where, part)
    return Description(size, Prior(kind), _format(values, where, part), names)


def _format(values: Mapping[str, Any], where: str, part: str) -> SignalFormat:
    """Of the signals that a guest makes: pictures, where it says how high and wide they are, else clips."""
    if values.get("picture_height") is None and values.get("picture_width") is None:
        return _clips(values, where, part)
    for key in ("sample_rate", "clip_samples", "channels"):
        if values.get(key) is not None:
            raise UserError(
                f"{part} {key} is of clips, and picture_height and picture_width are of pictures",
                where=where,
                fix="leave it out",
            )
    for key in ("picture_height", "picture_width"):
        value = values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            said = "is missing" if value is None else f"is {value!r}, not a positive whole number"
            raise UserError(f"{part} {key} {said}", where=where, fix="give the picture's pixels, 64 and 64, say")
    return PictureFormat(values["picture_height"], values["picture_width"])


def _clips(values: Mapping[str, Any], where: str, part: str) -> ClipFormat:
    """The format of the clips that a guest makes; what it does not say is as usual."""
    usual = {"sample_rate": USUAL.sample_rate, "clip_samples": USUAL.samples, "channels": USUAL.channels}
    found = {key: values.get(key, value) for key, value in usual.items()}
    for key, value in found.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(
                f"{part} {key} is {value!r}, not a positive whole number", where=where, fix=f"give {usual[key]}, say"
            )
    if found["channels"] not in CHANNELS:
        raise UserError(f"{part} channels is {found['channels']}", where=where, fix="mix down to 1 or 2 in forward")
    return ClipFormat(found["sample_rate"], found["clip_samples"], found["channels"])


def _label_names(names: Any, where: str, part: str) -> tuple[str, ...]:
    if names is None:
        return ()
    if (
        not isinstance(names, (list, tuple))
        or not names
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) < len(names)
    ):
        raise UserError(
            f"{part} label_names is {names!r}, not a list of different names",
            where=where,
            fix='give the name of each label in the order of their numbers, as ["zero", "one"], or leave it out',
        )
    return tuple(names)
