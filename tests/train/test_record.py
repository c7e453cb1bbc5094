"""Samples of a training, as files and in TensorBoard: what they are of, they are there."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tensorboard.backend.event_processing.event_accumulator import AUDIO, IMAGES, EventAccumulator

from invertone.cluster.formats.signals import ClipFormat, PictureFormat
from invertone.cluster.storage.folder import Folder
from invertone.images.reading import decode
from invertone.train.loop.record import Record


@pytest.mark.parametrize(("rate", "shape"), [(16_000, (16_384,)), (44_100, (2, 65_536))], ids=["mono", "stereo"])
def test_samples_keep_their_rate_length_and_channels(rate: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    """Of stereo left and right are turned over: in a mean of both nothing would be left."""
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(shape[-1]) / rate)
    clip = tone if len(shape) == 1 else torch.stack([tone, -tone])
    record = Record(Folder.at(str(tmp_path)), 0)
    record.samples(10, {"generated-0": clip}, ClipFormat(rate, shape[-1], len(shape)))
    record.close()
    written, found = soundfile.read(tmp_path / "samples/step-00000010/generated-0.wav", dtype="int16")
    assert found == rate and np.array_equal(written, np.rint(clip.numpy().T * 32_768).astype(np.int16))
    board = EventAccumulator(str(tmp_path / "tensorboard"), {AUDIO: 0})
    board.Reload()
    (event,) = board.Audio("generated-0")
    heard, told = soundfile.read(io.BytesIO(event.encoded_audio_string), dtype="int16")
    assert (event.step, event.sample_rate, event.length_frames, event.content_type) == (
        10,
        rate,
        shape[-1],
        "audio/wav",
    )
    assert told == rate and np.array_equal(heard, written)


def test_samples_of_pictures_are_png_and_clipped(tmp_path: Path) -> None:
    """Wider than high, and beyond full scale as progressive GANs are: what is too bright is white, what is too dark black."""
    picture = torch.linspace(-1.5, 1.5, 3 * 4 * 6).view(3, 4, 6).requires_grad_()
    record = Record(Folder.at(str(tmp_path)), 0)
    record.samples(10, {"generated-0": picture}, PictureFormat(4, 6))
    record.close()
    wanted = np.clip(np.rint((picture.detach().numpy().transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)
    assert wanted.min() == 0 and wanted.max() == 255
    written = (tmp_path / "samples/step-00000010/generated-0.png").read_bytes()
    assert written.startswith(b"\x89PNG") and np.array_equal(decode(written), wanted)
    board = EventAccumulator(str(tmp_path / "tensorboard"), {IMAGES: 0})
    board.Reload()
    (event,) = board.Images("generated-0")
    assert (event.step, event.height, event.width) == (10, 4, 6)
    assert np.array_equal(decode(event.encoded_image_string), wanted)
