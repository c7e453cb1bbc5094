"""Generators of others behind the protocol of ours: what a guest must say of itself, and the form it is given.

What it does is looked at in `invertone.models.guests.trial`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from invertone.audio.clip import CLIP_SAMPLES, SAMPLE_RATE
from invertone.cluster.errors import UserError, did_you_mean
from invertone.models.prior import KINDS, Prior

KEYS = ("latent_size", "prior", "sample_rate", "label_names")


@dataclass(frozen=True)
class Description:
    """What inversion must know of a guest and cannot see. label_names: of the labels that it takes beside the latent, by their
    numbers from 0; none where it takes none."""

    latent_size: int
    prior: Prior
    label_names: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "latent_size": self.latent_size,
            "prior": self.prior.kind,
            "sample_rate": SAMPLE_RATE,
        }
        return said | ({"label_names": list(self.label_names)} if self.label_names else {})


class Guest(nn.Module):
    """A generator of others, frozen: latent [b, latent_size] → waveform [b, 16384]. `call` is a Module or any callable. One
    that takes labels and is given none takes those that the latents' first coordinates stand for."""

    keeps_state = True
    """Whether a call may leave something behind that a call at the same time would find."""

    def __init__(self, description: Description, call: Callable[..., Any]) -> None:
        super().__init__()
        self.latent_size, self.prior, self.clip_samples = description.latent_size, description.prior, CLIP_SAMPLES
        self.label_names = description.label_names
        self.call = call  # a Module becomes a part of this one, and moves with it
        self.requires_grad_(False).eval()

    def forward(self, latent: Float[Tensor, "b z"], label: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b n"]:
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
    rate = values.get("sample_rate", SAMPLE_RATE)
    if rate != SAMPLE_RATE:
        raise UserError(
            f"{part} sample_rate is {rate!r}, clips have {SAMPLE_RATE} Hz",
            where=where,
            fix=f"let forward end with a conversion to {SAMPLE_RATE} Hz",
        )
    return Description(size, Prior(kind), _label_names(values.get("label_names"), where, part))


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
