"""MPEG-4 sound (.m4a, AAC, ALAC) by PyAV, which carries FFmpeg. It is an optional extra: its wheels hold GPL parts."""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from invertone.audio.recording.recording import BadAudioError

KINDS = {"M4A": "mov", "AAC": "aac"}
"""What FFmpeg calls the two containers: MPEG-4 files, and AAC as a stream. No other of its readers sees a file, for some open
what a file tells them to."""
SHORT_SECONDS = 0.3
"""What may lack at the end of what a header promises: encoders fill up their last frames."""

MISSING = "MPEG-4 sound (m4a, AAC), which needs the extra m4a: pip install 'invertone[m4a]'"
"""The reason where PyAV is not installed."""


def library() -> ModuleType | None:
    """PyAV, where it is installed."""
    try:
        return importlib.import_module("av")
    except ImportError:
        return None


class Mpeg4Sound:
    """Just as much of a soundfile.SoundFile as decoding needs: the first sound stream of a file. Raises BadAudioError where
    there is none, and where PyAV is not installed."""

    subtype = "FLOAT"

    def __init__(self, file: io.BufferedIOBase, kind: str) -> None:
        av: Any = library()
        if av is None:
            raise BadAudioError(MISSING)
        self._library, self._made = av, 0
        file.seek(0)
        with self._reasons():
            self._opened = av.open(file, mode="r", format=KINDS[kind], metadata_errors="ignore")
        try:
            with self._reasons():
                if not self._opened.streams.audio:
                    raise BadAudioError("an MPEG-4 file without sound")
                stream = self._opened.streams.audio[0]
                self._blocks = self._decoded(stream)
                self._held = [next(self._blocks, np.zeros((0, 1), np.float32))]
            known = kind == "M4A" and stream.duration is not None and stream.time_base is not None
            self.seconds = float(stream.duration * stream.time_base) if known else None
        except BaseException:
            self.close()
            raise
        self.channels = self._held[0].shape[1]

    def _decoded(self, stream: Any) -> Iterator[npt.NDArray[np.float32]]:
        """Float [n, channels], full scale ±1, in the blocks of the codec."""
        self.samplerate = int(stream.rate or 0)
        resampler = self._library.AudioResampler(format="fltp")  # of the form alone: rate and channels stay
        for frame in self._opened.decode(stream):
            self.samplerate = frame.sample_rate  # the stream's own may be half of it (HE-AAC)
            for plain in resampler.resample(frame):
                yield np.ascontiguousarray(plain.to_ndarray().T, np.float32)

    def read(self, frames: int, dtype: str, always_2d: bool) -> npt.NDArray[np.float32]:
        """`frames` frames, [n, channels]; fewer at the end. Raises BadAudioError where the stream is damaged or cut short."""
        assert always_2d and dtype == "float32"
        count = sum(map(len, self._held))
        with self._reasons():
            while count < frames and (block := next(self._blocks, None)) is not None:
                if block.shape[1] != self.channels:
                    raise BadAudioError("its number of channels changes")
                self._held.append(block)
                count += len(block)
        found = np.concatenate(self._held)
        self._held = [found[frames:]]
        self._made += min(frames, len(found))
        if (
            len(found) < frames
            and self.seconds is not None
            and self._made < (self.seconds - SHORT_SECONDS) * self.samplerate
        ):
            promised = round(self.seconds * self.samplerate)
            raise BadAudioError(f"truncated: header promises {promised} samples, {self._made} are there")
        return found[:frames]

    def close(self) -> None:
        self._opened.close()

    @contextmanager
    def _reasons(self) -> Iterator[None]:
        """What FFmpeg says, as a reason."""
        try:
            yield
        except self._library.error.FFmpegError as error:
            raise BadAudioError(f"not decodable: {error.strerror or type(error).__name__}") from None
