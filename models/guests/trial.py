"""What a guest must do, tried once when it is loaded: shapes, range, no dependence on neighbours, gradients.

Clips end at full scale. Pictures may go a little beyond it, as those of progressive GANs do, whose last layer is linear: what
is written of them is clipped, as their authors' code does.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.cluster.formats.signals import PictureFormat
from invertone.models.guests.guest import Guest
from invertone.models.guests.programs import first_line
from invertone.models.prior import seeded

FULL_SCALE, BRIGHTEST = 1.001, 2.0
"""Of clips, and the largest that is taken for a picture of full scale ±1. Pictures of other scales go further: those that are
standardised by ImageNet's deviations to 2.6, 8-bit ones to 255."""
TOLERANCE, LOOSE = 1e-4, 1e-2
"""By how much of full scale a sample may differ where it should be the same: with batches of one size, where only rounding
can differ from run to run; and between sizes, for which GPUs take kernels of lower precision (TF32)."""

COLOURS = 3
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
            f"makes other {_thing(guest)} of the same latent the second time (by up to {_apart(three, again):.2g})",
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


def _thing(guest: Guest) -> str:
    return "pictures" if isinstance(guest.format, PictureFormat) else "sound"


def _made(guest: Guest, latent: Float[Tensor, "b z"], where: str) -> Float[Tensor, "b ..."]:
    """The waveforms or pictures of `latent`, if they are such."""
    made = _shaped(guest, latent, where)
    if isinstance(guest.format, PictureFormat):
        _check_scale(made, where)
        return made
    if not torch.isfinite(made).all():
        raise UserError("forward gives NaN or infinite samples", where=where, fix="check its weights")
    peak = float(made.detach().abs().max())
    if peak > FULL_SCALE:
        raise UserError(
            f"forward gives samples up to {peak:.4g}, full scale is 1",
            where=where,
            fix="divide by its own full scale (32768 for 16-bit units), or end with tanh",
        )
    return made


def _check_scale(picture: Float[Tensor, "b 3 h w"], where: str) -> None:
    """Raises UserError for pictures that are not of full scale ±1: black is -1, white 1."""
    if not torch.isfinite(picture).all():
        raise UserError("forward gives NaN or infinite values", where=where, fix="check its weights")
    least, most = (float(each) for each in picture.detach().aminmax())
    problem = f"forward gives pictures from {least:.4g} to {most:.4g}: black is -1 and white 1"
    if least >= 0 and most <= FULL_SCALE:
        raise UserError(problem, where=where, fix="return 2 * picture - 1 of pictures in [0, 1]")
    if least >= 0 and most > BRIGHTEST:
        raise UserError(problem, where=where, fix="return picture / 127.5 - 1 of pictures in [0, 255]")
    if max(-least, most) > BRIGHTEST:
        raise UserError(
            problem, where=where, fix="undo its normalisation (times deviation, plus mean), then return 2 * picture - 1"
        )


def _shaped(guest: Guest, latent: Float[Tensor, "b z"], where: str) -> Tensor:
    """What it makes of `latent`, if that is float32 of the right shape in the right place."""
    made: Any = _called(guest, latent, where)
    wanted = (len(latent), *guest.format.view)
    shape = ", ".join(["b", *map(str, guest.format.view)])
    if not isinstance(made, Tensor):
        raise UserError(f"forward gives a {type(made).__name__}", where=where, fix=f"return one tensor [{shape}]")
    if tuple(made.shape) != wanted:
        raise UserError(
            f"forward gives shape {list(made.shape)} for {len(latent)} latents, not {list(wanted)}",
            where=where,
            fix=_reshaping(guest, tuple(made.shape[1:]), shape),
        )
    if made.dtype != torch.float32:
        fix = "waveform.float()"
        if isinstance(guest.format, PictureFormat):
            fix = "picture.float() / 127.5 - 1" if made.dtype == torch.uint8 else "picture.float()"
        raise UserError(f"forward gives {made.dtype}", where=where, fix=f"return float32 ({fix})")
    if made.device.type != latent.device.type:
        raise UserError(
            f"forward gives a tensor on {made.device} for latents on {latent.device}",
            where=where,
            fix="be an nn.Module, or have `to(device)`, and make new tensors on latent.device",
        )
    return made


def _reshaping(guest: Guest, found: tuple[int, ...], wanted: str) -> str:
    """What to do about signals of the shape `found`."""
    if not isinstance(guest.format, PictureFormat):
        if len(found) == 3 and COLOURS in (found[0], found[-1]):
            height, width = found[1:] if found[0] == COLOURS else found[:-1]
            return f"of pictures say picture_height={height} and picture_width={width}"
        return (
            f"return [{wanted}] for any b, one channel without a dimension of its own; or say clip_samples, channels and "
            "sample_rate as they are"
        )
    height, width = guest.format.height, guest.format.width
    if found == (height, width, COLOURS):
        return "colours come first: return picture.permute(0, 3, 1, 2)"
    if found in ((1, height, width), (height, width)):
        grey = "picture" if len(found) == 3 else "picture[:, None]"
        return f"grey has three equal colours: return {grey}.expand(-1, 3, -1, -1)"
    return f"return [{wanted}] for any b, or say picture_height and picture_width as they are"


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
        made = _made(guest, latent, where)
        fix = "compute with torch operators alone, without no_grad, detach, .data, numpy or rounding"
        if not made.requires_grad:
            raise UserError("has no gradient to the latent", where=where, fix=fix)
        try:
            (gradient,) = torch.autograd.grad(made.square().sum(), latent, allow_unused=True)
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
