"""From a network's spectrograms to sound: PGHI on the CPU, whatever device the network is on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.audio.front_end import FrontEnd, magnitude
from invertone.models.prior import seeded


def phase_seeds(keys: Sequence[str]) -> list[int]:
    """What decides the faint phases of clips of these names, the same wherever they are made."""
    return [seeded("phase", key).initial_seed() for key in keys]


def waveforms(
    spectrogram: Float[Tensor, "b f t"],
    front_end: FrontEnd,
    seeds: Sequence[int],
    loudest: Float[Tensor, " b"] | None = None,
) -> Float[Tensor, "b n"]:
    """Log-magnitude spectrograms as `front_end` makes them → waveforms on the CPU; one seed per clip decides the phase of
    what is too faint to have one. `loudest`: see `loudest_bins`; without it clips get a level of their own."""
    from invertone.audio.pghi.phases import (
        invert,  # its compiler takes most of a second to load, and only sound needs it
    )

    found = invert(
        spectrogram.detach().float().cpu().numpy(),
        seeds,
        front_end.n_fft,
        front_end.hop_length,
        front_end.nats,
        None if loudest is None else loudest.double().cpu().numpy(),
        threads=max(1, torch.get_num_threads()),
        window=front_end.window,
    )
    return torch.from_numpy(found)


def loudest_bins(waveform: Float[Tensor, "b *c n"], front_end: FrontEnd) -> Float[Tensor, " b"]:
    """The level of each clip, which its spectrogram relative to the clip does not hold."""
    found = magnitude(waveform, front_end.n_fft, front_end.hop_length, front_end.window)[..., :-1, :]
    return found.flatten(1).amax(1)
