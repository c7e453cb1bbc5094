"""What differs between clips and pictures wherever signals are computed: their files, and how networks see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from jaxtyping import Float, Int16, Integer
from torch import Tensor

from invertone.audio import clip
from invertone.cluster.formats.shards import AUDIO_FORMATS, PICTURE_FORMATS
from invertone.cluster.formats.signals import ClipFormat, SignalFormat
from invertone.images import picture, reading, tensors

Values = npt.NDArray[np.int16] | npt.NDArray[np.uint8]
"""Of one signal, as files have them: int16 [n] or [n, 2] of a clip, uint8 [h, w, 3] of a picture."""

UNREADABLE = (soundfile.SoundFileError, reading.BadPictureError)
"""What `Signal.decode` raises for a file that is none."""


@dataclass(frozen=True)
class Signal:
    """One kind of signal. dtype: of its values in files. decode, encode: a file's bytes ↔ `Values`; encode is told the file's
    format and the rate. views: `Values` of several → what networks see of them, [b, *view] of full scale ±1. view: the same on
    a device, of values [b, *shape]. quantised: its inverse, rounded and clipped; NaN is silence, or grey. stored: the same of
    one signal in NumPy, and how many values lay outside full scale. formats: of files.
    """

    dtype: torch.dtype
    decode: Callable[[bytes], Values]
    encode: Callable[[Values, str, SignalFormat], bytes]
    views: Callable[[Sequence[Any]], npt.NDArray[np.float32]]
    view: Callable[[Integer[Tensor, "b ..."]], Float[Tensor, "b ..."]]
    quantised: Callable[[Float[Tensor, "b ..."]], Integer[Tensor, "b ..."]]
    stored: Callable[[npt.NDArray[np.floating]], tuple[Values, int]]
    formats: tuple[str, ...]


def signal_of(format: SignalFormat) -> Signal:
    """What is done with signals of this format."""
    return CLIPS if isinstance(format, ClipFormat) else PICTURES


def by_channels(samples: Int16[Tensor, "b _ *_"]) -> Int16[Tensor, "b _ *_"]:
    """[b, n, channels] ↔ [b, channels, n]: as files have clips, and as networks do. [b, n] stays."""
    return samples if samples.ndim == 2 else samples.transpose(1, 2).contiguous()


def _clip_view(samples: Int16[Tensor, "b n *c"]) -> Float[Tensor, "b *c n"]:
    return by_channels(samples).float().div_(clip.FULL_SCALE)


@torch.no_grad()
def _clip_quantised(waveform: Float[Tensor, "b *c n"]) -> Int16[Tensor, "b n *c"]:
    """As `invertone.audio.clip.to_int16`, on the waveform's device."""
    scaled = torch.nan_to_num(waveform).mul_(clip.FULL_SCALE).round_()
    return by_channels(scaled.clamp_(-clip.FULL_SCALE, clip.FULL_SCALE - 1).to(torch.int16))


def _stored_clip(waveform: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.int16], int]:
    return clip.to_int16(waveform.T)


def _encode_clip(samples: Any, extension: str, format: SignalFormat) -> bytes:
    assert isinstance(format, ClipFormat), "of clips"
    return clip.encode(samples, extension, format.sample_rate)


def _encode_picture(pixels: Any, extension: str, format: SignalFormat) -> bytes:
    return picture.encode(pixels)


CLIPS = Signal(
    torch.int16,
    clip.decode,
    _encode_clip,
    clip.waveforms,
    _clip_view,
    _clip_quantised,
    _stored_clip,
    AUDIO_FORMATS,
)
PICTURES = Signal(
    torch.uint8,
    reading.decode,
    _encode_picture,
    picture.views,
    tensors.view,
    tensors.quantised,
    picture.to_uint8,
    PICTURE_FORMATS,
)
