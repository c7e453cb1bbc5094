"""What a guest must do, tried once when it is loaded: shapes, range, no dependence on neighbours, gradients."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.models.guests.guest import Guest
from invertone.models.guests.programs import first_line
from invertone.models.prior import seeded

FULL_SCALE = 1.001
TOLERANCE, LOOSE = 1e-4, 1e-2
"""By how much of full scale a sample may differ where it should be the same: with batches of one size, where only rounding
can differ from run to run; and between sizes, for which GPUs take kernels of lower precision (TF32)."""

_PROGRAM = (
    "export it in evaluation mode and with a dynamic batch, or save it with invertone.models.guests.export.save_program"
)


def check(guest: Guest, where: str, device: torch.device) -> None:
    """Raises UserError for the first thing that `guest` does not do as a generator must."""
    rng = seeded("trial", guest.latent_size)
    latent = guest.prior.sample(5, guest.latent_size, rng).to(device)
    with torch.no_grad():
        one, three = _of_both_sizes(guest, latent, where)
        again, others = _made(guest, latent[:3], where), _made(guest, latent[[0, 3, 4]], where)
    if _apart(three, again) > TOLERANCE:
        raise UserError(
            f"makes other sound of the same latent the second time (by up to {_apart(three, again):.2g})",
            where=where,
            fix="switch off dropout, noise and training mode: all that varies must be in the latent (or the label)",
        )
    if _apart(three[0], others[0]) > TOLERANCE or _apart(three[0], one[0]) > LOOSE:
        most = max(_apart(three[0], others[0]), _apart(three[0], one[0]))
        raise UserError(
            f"what it makes of a latent depends on the others in the batch (by up to {most:.2g})",
            where=where,
            fix="use batch norm in evaluation mode, and no statistics over the batch",
        )
    _check_gradient(guest, latent[:3], where)


def _of_both_sizes(guest: Guest, latent: Float[Tensor, "b z"], where: str) -> tuple[Tensor, Tensor]:
    """What becomes of one latent and of three. A guest that takes one of the two batches has the size built in."""
    made: dict[int, Tensor] = {}
    refused: dict[int, UserError] = {}
    for size in (1, 3):
        try:
            made[size] = _made(guest, latent[:size], where)
        except UserError as refusal:
            refused[size] = refusal
    if made and refused:
        (size, why), (other,) = *refused.items(), made
        what = f"takes a batch of {other} and not one of {size}: {why.what}"
        raise UserError(what, where=where, fix=f"let forward take any batch; a program: {_PROGRAM}")
    if refused:
        raise refused[1]
    return made[1], made[3]


def _made(guest: Guest, latent: Float[Tensor, "b z"], where: str) -> Float[Tensor, "b *c n"]:
    """The waveforms of `latent`, if they are such."""
    waveform: Any = _called(guest, latent, where)
    wanted = (len(latent), *guest.format.view)
    shape = ", ".join(["b", *map(str, guest.format.view)])
    if not isinstance(waveform, Tensor):
        raise UserError(f"forward gives a {type(waveform).__name__}", where=where, fix=f"return one tensor [{shape}]")
    if tuple(waveform.shape) != wanted:
        raise UserError(
            f"forward gives shape {list(waveform.shape)} for {len(latent)} latents, not {list(wanted)}",
            where=where,
            fix=f"return [{shape}] for any b, one channel without a dimension of its own; or say clip_samples, channels and "
            "sample_rate as they are",
        )
    if waveform.dtype != torch.float32:
        raise UserError(f"forward gives {waveform.dtype}", where=where, fix="return float32 (waveform.float())")
    if waveform.device.type != latent.device.type:
        raise UserError(
            f"forward gives a tensor on {waveform.device} for latents on {latent.device}",
            where=where,
            fix="be an nn.Module, or have `to(device)`, and make new tensors on latent.device",
        )
    if not torch.isfinite(waveform).all():
        raise UserError("forward gives NaN or infinite samples", where=where, fix="check its weights")
    peak = float(waveform.detach().abs().max())
    if peak > FULL_SCALE:
        raise UserError(
            f"forward gives samples up to {peak:.4g}, full scale is 1",
            where=where,
            fix="divide by its own full scale (32768 for 16-bit units), or end with tanh",
        )
    return waveform


def _called(guest: Guest, latent: Tensor, where: str) -> Any:
    try:
        labels = len(guest.label_names)
        # row by row the same, whatever the batch: a row is compared with itself
        return guest.made(latent, torch.arange(len(latent), device=latent.device) % labels if labels else None)
    except Exception as error:
        if "label" in str(error) and "argument" in str(error):
            raise UserError(
                f"forward needs a label: {first_line(error)}",
                where=where,
                fix="name the labels that it takes in label_names, give `label` a default, or wrap the generator in a class "
                "that chooses it (a part of the latent, say)",
            ) from None
        raise UserError(
            f"forward raised for latents {list(latent.shape)}: {first_line(error)}",
            where=where,
            fix="it must take float32 latents [b, latent_size] for any b"
            f"{', and int64 labels [b]' if guest.label_names else ''}; a program: {_PROGRAM}",
        ) from None


def _check_gradient(guest: Guest, latent: Tensor, where: str) -> None:
    latent = latent.clone().requires_grad_()
    with torch.enable_grad():
        waveform = _made(guest, latent, where)
        fix = "compute with torch operators alone, without no_grad, detach, .data, numpy or rounding"
        if not waveform.requires_grad:
            raise UserError("has no gradient to the latent", where=where, fix=fix)
        try:
            (gradient,) = torch.autograd.grad(waveform.square().sum(), latent, allow_unused=True)
        except RuntimeError as error:
            raise UserError(f"has no gradient to the latent: {first_line(error)}", where=where, fix=fix) from None
    if gradient is None or not gradient.any():
        raise UserError("its gradient to the latent is zero", where=where, fix=fix)
    if not torch.isfinite(gradient).all():
        raise UserError(
            "its gradient to the latent is NaN or infinite", where=where, fix="avoid sqrt, norm or log at 0"
        )


def _apart(left: Tensor, right: Tensor) -> float:
    return float((left - right).abs().max())
