"""WaveGAN as its authors publish it (TensorFlow 1, Donahue et al. 2018): which variables, and where they belong in ours.

`G/z_project/dense/kernel [latent, 16·16·width]` is followed by `G/upconv_0…4/conv2d_transpose/kernel [1, 25, out, in]`;
`D/downconv_0…4/conv1d/kernel [25, in, out]` by `D/output/dense/kernel`, which sees its input time by time. Each has a `bias`.
Those of 32,768 and 65,536 samples have a layer 5 each. Some releases filter the generated sound: `G/pp_filt/conv1d/kernel
[taps, 1, 1]`, without a bias. Nothing in a checkpoint tells 32,768 from 65,536 samples: both have the same variables.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from invertone.cluster.errors import UserError
from invertone.models.networks.wavegan import (
    FIRST_LENGTH,
    KERNEL,
    LENGTHS,
    STRIDES,
    WaveganCritic,
    WaveganGenerator,
    widths,
)
from invertone.models.published.tensorflow_checkpoint import TensorflowCheckpoint
from invertone.models.published.variables import STEP, Places, Shape, match, size_of, step_of

SHORTEST, LONGER = LENGTHS[0], LENGTHS[1:]
MOST_CHANNELS = 2
FILTER = "G/pp_filt/conv1d/kernel"
_SLOT = re.compile(r"/(Adam|RMSProp|Momentum)(_\d+)?$|^beta[12]_power(_\d+)?$")
_TIME_AXIS = {("conv2d_transpose", 4): 1, ("conv1d", 3): 0}
"""By layer and rank of its kernel."""

_FIX = (
    "give a WaveGAN of 16,384, 32,768 or 65,536 samples and one or two channels, with kernels of 25 and no batch norm"
)


@dataclass(frozen=True)
class PublishedWavegan:
    """A published checkpoint whose every variable is accounted for.

    clip_samples: of a channel. critic_width: None where the discriminator was not saved. post_filter: taps, 0 where there is
    no filter. optimiser: how many variables are an optimiser's. others: names of what belongs to neither network nor optimiser.
    """

    checkpoint: TensorflowCheckpoint
    width: int
    latent_size: int
    post_filter: int
    clip_samples: int
    channels: int
    critic_width: int | None
    step: int
    optimiser: int
    others: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, int]:
        """How many, by network."""
        return {
            network: sum(math.prod(shape) for _, shape in places.values()) for network, places in self._places().items()
        }

    def networks(self) -> dict[str, nn.Module]:
        """Generator and, if it was saved, critic, with the published weights. Raises UserError for damaged ones."""
        with torch.device("meta"):  # no memory and no random numbers for weights that are replaced
            sound = {"clip_samples": self.clip_samples, "channels": self.channels}
            generator = WaveganGenerator(self.width, self.latent_size, self.post_filter, **sound)
            networks: dict[str, nn.Module] = {"generator": generator}
            if self.critic_width is not None:
                networks["critic"] = WaveganCritic(self.critic_width, **sound)
        for name, places in self._places().items():
            weights = {ours: self._weight(theirs) for theirs, (ours, _) in places.items()}
            networks[name].load_state_dict(weights, assign=True)
        return networks

    def _places(self) -> dict[str, Places]:
        hidden = widths(self.width, self.clip_samples, self.channels)
        places = {"generator": _generator(hidden, self.latent_size, self.post_filter)}
        if self.critic_width is None:
            return places
        return places | {"critic": _critic(widths(self.critic_width, self.clip_samples, self.channels))}

    def _weight(self, name: str) -> Tensor:
        """The variable `name` in torch's order of axes, which is TensorFlow's reversed; a leading axis of height 1 goes."""
        values = self.checkpoint.read(name)
        if not np.isfinite(values).all():
            raise UserError(f"{name} holds values that are not finite", where=self.checkpoint.uri, fix="give another")
        return torch.from_numpy(np.array((values[0] if values.ndim == 4 else values).T, np.float32, order="C"))


def inspect(checkpoint: TensorflowCheckpoint, clip_samples: int | None = None) -> PublishedWavegan:
    """What `checkpoint` holds, by its index alone. clip_samples: what it was trained for, where its variables cannot tell.
    Raises UserError, naming the variable, where it is no WaveGAN of ours, or for other clips."""
    shapes = {name: each.shape for name, each in checkpoint.variables.items() if not _SLOT.search(name)}
    generator = {name: shape for name, shape in shapes.items() if name.startswith("G/")}
    critic = {name: shape for name, shape in shapes.items() if name.startswith("D/")}
    where = checkpoint.uri
    if not generator:
        raise UserError("holds no WaveGAN: no variable is named G/…", where=where, fix=_FIX)
    length = _clip_samples(generator, clip_samples, where)
    last = len(STRIDES[length]) - 1
    _refuse_variants(generator | critic, last, where)
    outer = f"G/upconv_{last}/conv2d_transpose/kernel"
    width = size_of(generator, outer, 4, 3, where, _FIX)
    channels = size_of(generator, outer, 4, 2, where, _FIX)
    latent_size = size_of(generator, "G/z_project/dense/kernel", 2, 0, where, _FIX)
    taps = size_of(generator, FILTER, 3, 0, where, _FIX) if FILTER in generator else 0
    match(checkpoint, generator, _generator(widths(width, length, channels), latent_size, taps), _FIX)
    critic_width = size_of(critic, "D/downconv_0/conv1d/kernel", 3, 2, where, _FIX) if critic else None
    if critic_width is not None:
        match(checkpoint, critic, _critic(widths(critic_width, length, channels)), _FIX)
    others = sorted(shapes.keys() - generator.keys() - critic.keys() - {STEP})
    optimiser = len(checkpoint.variables) - len(shapes)
    step = step_of(checkpoint, _FIX)
    return PublishedWavegan(
        checkpoint, width, latent_size, taps, length, channels, critic_width, step, optimiser, tuple(others)
    )


def _clip_samples(generator: dict[str, Shape], asked: int | None, where: str) -> int:
    """Samples of a channel: five layers make 16,384; six make either of two lengths, by a stride that no variable holds."""
    longer = any(re.match(rf"G/upconv_{len(STRIDES[SHORTEST])}/", name) for name in generator)
    if not longer and asked in (None, SHORTEST):
        return SHORTEST
    if longer and asked in LONGER:
        return int(asked)
    either = " or ".join(f"{each:,}" for each in LONGER)
    if longer and asked is None:
        raise UserError(
            f"is for {either} samples, which nothing in it tells apart",
            where=where,
            fix=f"add clip_samples={LONGER[0]} or {LONGER[1]}",
        )
    raise UserError(
        f"is for {either if longer else f'{SHORTEST:,}'} samples, not for clip_samples={asked}",
        where=where,
        fix=f"give {' or '.join(map(str, LONGER if longer else (SHORTEST,)))}",
    )


def _generator(hidden: list[int], latent_size: int, taps: int) -> Places:
    """Every variable of a generator. hidden: its channels, from the latent to the sound."""
    first = FIRST_LENGTH * hidden[0]
    places = _layer("G/z_project/dense", "dense", (latent_size, first), first)
    for layer, (inside, outside) in enumerate(pairwise(hidden)):
        shape = (1, KERNEL, outside, inside)
        places |= _layer(f"G/upconv_{layer}/conv2d_transpose", f"upconvs.{layer}", shape, outside)
    return places | ({FILTER: ("filter.weight", (taps, 1, 1))} if taps else {})


def _critic(hidden: list[int]) -> Places:
    """Every variable of a critic. hidden: as a generator's of its width."""
    places: Places = {}
    for layer, (inside, outside) in enumerate(pairwise(reversed(hidden))):
        shape = (KERNEL, inside, outside)
        places |= _layer(f"D/downconv_{layer}/conv1d", f"downconvs.{layer}", shape, outside)
    return places | _layer("D/output/dense", "dense", (FIRST_LENGTH * hidden[0], 1), 1)


def _layer(theirs: str, ours: str, kernel: Shape, outside: int) -> Places:
    return {f"{theirs}/kernel": (f"{ours}.weight", kernel), f"{theirs}/bias": (f"{ours}.bias", (outside,))}


def _refuse_variants(shapes: dict[str, Shape], last: int, where: str) -> None:
    """What the authors' code can train and ours does not run, each by what it is rather than by a shape."""
    for name, shape in shapes.items():
        if "/batch_normalization" in name:
            raise UserError(f"has batch norm ({name})", where=where, fix=_FIX)
        if re.match(r"G/upconv_\d+/conv1d/", name):
            raise UserError(
                f"repeats samples before convolving ({name})", where=where, fix="give one with upsample=zeros"
            )
        along = _TIME_AXIS.get((name.split("/")[-2], len(shape))) if name.endswith("/kernel") else None
        if along is not None and name != FILTER and shape[along] != KERNEL:
            raise UserError(f"has kernels of {shape[along]} ({name})", where=where, fix=_FIX)
    sound = {f"G/upconv_{last}/conv2d_transpose/kernel": (4, 2), "D/downconv_0/conv1d/kernel": (3, 1)}
    for name, (rank, axis) in sound.items():
        shape = shapes.get(name, ())
        if len(shape) == rank and (shape[axis] > MOST_CHANNELS or (shape[axis] > 1 and FILTER in shapes)):
            filtered = " and a filter" if FILTER in shapes else ""
            raise UserError(f"has {shape[axis]} channels of sound{filtered} ({name})", where=where, fix=_FIX)
