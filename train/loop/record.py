"""What a training leaves to look at and listen to: metrics.jsonl, TensorBoard, WAV samples. Written by rank 0 only."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from invertone.audio.clip import encode, to_int16
from invertone.cluster.formats.checkpoints import step_folder
from invertone.cluster.formats.trainings import METRICS, SAMPLES, TENSORBOARD, Line, lines_until
from invertone.cluster.storage.folder import Folder


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

    def samples(self, step: int, clips: Mapping[str, Tensor], sample_rate: int) -> None:
        """Clips [n] or [channels, n] of full scale ±1, as WAV files and in TensorBoard."""
        for name, clip in clips.items():
            waveform = clip.detach().cpu().float().numpy()
            samples, _ = to_int16(np.clip(waveform.T, -1.0, 1.0))
            self.folder.publish_bytes(f"{SAMPLES}/{step_folder(step)}/{name}.wav", encode(samples, "wav", sample_rate))
            mono = waveform if waveform.ndim == 1 else waveform.mean(0)  # TensorBoard plays one channel
            self._board.add_audio(name, mono[None], step, sample_rate)

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


def read_metrics(folder: Folder) -> list[dict[str, float | int]]:
    """All lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in folder.read_lines(METRICS)]
