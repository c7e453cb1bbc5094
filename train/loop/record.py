"""What a training leaves to look at and listen to: metrics.jsonl, TensorBoard, samples. Written by rank 0 only."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from invertone.audio.clip import Samples, encode, to_int16
from invertone.cluster.formats.checkpoints import step_folder
from invertone.cluster.formats.signals import ClipFormat, SignalFormat
from invertone.cluster.formats.trainings import METRICS, SAMPLES, TENSORBOARD, Line, lines_until
from invertone.cluster.storage.folder import Folder
from invertone.images.picture import encode as encode_picture
from invertone.images.tensors import quantised


class Record:
    """Metrics of one run, continued from `step`: lines of later steps, left by a killed run, are dropped first.

    Remote storage cannot append, so there the file is kept here and published whole by `flush`.
    """

    def __init__(self, folder: Folder, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        self._scratch = None if folder.local else tempfile.TemporaryDirectory(prefix="invertone-")
        here = folder.local or Path(self._scratch.name)  # type: ignore[union-attr]
        self._lines = lines_until(folder, step)
        if folder.local:
            folder.publish_bytes(METRICS, "".join(self._lines).encode())
            self._file = (here / METRICS).open("a", encoding="utf-8")
        self._board_folder = here / TENSORBOARD
        self._board = SummaryWriter(str(self._board_folder), purge_step=step + 1 if step else None)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One line: the step and its values."""
        line = Line(step, values).text()
        if self.folder.local:
            self._file.write(line)
            self._file.flush()
        else:
            self._lines.append(line)
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def samples(self, step: int, made: Mapping[str, Tensor], format: SignalFormat) -> None:
        """Signals of full scale ±1, as files and in TensorBoard: clips [n] or [channels, n] as WAV, pictures [3, h, w] as
        PNG."""
        if isinstance(format, ClipFormat):
            self._sounds(step, made, format.sample_rate)
        else:
            self._pictures(step, made)

    def _pictures(self, step: int, made: Mapping[str, Tensor]) -> None:
        for name, picture in made.items():
            pixels = quantised(picture[None].detach().float())[0].cpu().numpy()
            self.folder.publish_bytes(f"{SAMPLES}/{step_folder(step)}/{name}.png", encode_picture(pixels))
            self._board.add_image(name, pixels, step, dataformats="HWC")

    def _sounds(self, step: int, clips: Mapping[str, Tensor], sample_rate: int) -> None:
        for name, clip in clips.items():
            waveform = clip.detach().cpu().float().numpy()
            samples, _ = to_int16(np.clip(waveform.T, -1.0, 1.0))
            sound = encode(samples, "wav", sample_rate)
            self.folder.publish_bytes(f"{SAMPLES}/{step_folder(step)}/{name}.wav", sound)
            # torch's own add_audio takes one channel alone
            events = self._board.file_writer
            assert events is not None, "open until closed"
            events.add_summary(_summary(name, sound, samples, sample_rate), step)

    def flush(self) -> None:
        """Everything so far is on storage when this returns."""
        self._board.flush()
        if self.folder.local:
            return
        self.folder.publish_bytes(METRICS, "".join(self._lines).encode())
        for file in self._board_folder.iterdir():
            self.folder.publish_bytes(f"{TENSORBOARD}/{file.name}", file.read_bytes())

    def close(self) -> None:
        self.flush()
        self._board.close()


def _summary(name: str, wav: bytes, samples: Samples, sample_rate: int) -> Any:
    """A WAV file as TensorBoard keeps one, in as many channels as it has."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    audio = Summary.Audio(
        sample_rate=sample_rate,
        num_channels=1 if samples.ndim == 1 else samples.shape[1],
        length_frames=len(samples),
        encoded_audio_string=wav,
        content_type="audio/wav",
    )
    return Summary(value=[Summary.Value(tag=name, audio=audio)])


def read_metrics(folder: Folder) -> list[dict[str, float | int]]:
    """All lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in folder.read_lines(METRICS)]
