"""The sound of a recording from those of its windows: block by block into a file, whatever its length."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from invertone.audio.clip import Samples, decode
from invertone.audio.crossfade import overlapped
from invertone.cluster.formats.latents import OK, read_columns
from invertone.cluster.formats.ledger import Output
from invertone.cluster.formats.recordings import SOUND, Missing, Recording
from invertone.cluster.formats.shards import recording_of
from invertone.cluster.formats.signals import ClipFormat
from invertone.cluster.storage.folder import Folder
from invertone.infer.join.config import JoinConfig

SOUNDS = "sounds"
LONGEST_NAME = 200
"""Bytes of a file's name, which takes an ending, and another while it is unfinished: file systems allow 255."""
LARGEST_WAV = 2**32 - 2**16
"""Bytes that a WAV can count; a longer one is an RF64, which is a WAV with longer counts (EBU Tech 3306)."""

Windows = Iterator[tuple[str, int, bytes]]
"""Key, first sample and encoded sound of each window, in order."""


def windows_of(folder: Folder, parts: Sequence[Output], limit: int | None = None) -> Iterator[tuple[str, Windows]]:
    """Each recording that has windows with sound, and these; memory holds one file. limit: of so many rows."""

    def rows() -> Windows:
        left = limit
        for part in parts:
            table = read_columns(folder, part, ("key", "start", "status", "reconstruction"))
            if left is not None:
                table, left = table.slice(0, left), left - min(left, len(table))
            for batch in table.to_batches(max_chunksize=64):
                for row in batch.to_pylist():
                    if row["status"] == OK and row["reconstruction"] is not None:
                        yield row["key"], row["start"], row["reconstruction"]["bytes"]

    return itertools.groupby(rows(), key=lambda row: recording_of(row[0])[0])


@dataclass(frozen=True)
class SoundWriter:
    """Writes sounds that are to be moved into `folder`; where that is remote, in `temporary`. clips: what windows are."""

    folder: Folder
    temporary: Path
    config: JoinConfig
    clips: ClipFormat

    def written(
        self, recording: Recording, windows: Windows, lost: list[Missing], beat: Callable[[], None]
    ) -> tuple[str, Path]:
        """The sound's name in the run folder, and its file. Windows whose sound cannot be decoded are silence, and put into
        `lost`. beat: called for each window."""
        name = f"{SOUNDS}/{file_name(recording.key)}.{self.config.format}"
        path = self.folder.scratch(name, self.temporary)
        samples, rate, channels = recording.samples - recording.begin, self.clips.sample_rate, self.clips.channels
        kind = self.config.format.upper()
        kind = "RF64" if kind == "WAV" and 2 * channels * samples > LARGEST_WAV else kind
        try:
            with soundfile.SoundFile(path, "w", rate, channels, "PCM_16", format=kind) as file:
                found = self._decoded(recording, windows, lost, beat)
                for block in overlapped(found, recording.samples, recording.begin, self.config.fade, channels):
                    file.write(block)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return name, path

    def _decoded(
        self, recording: Recording, windows: Windows, lost: list[Missing], beat: Callable[[], None]
    ) -> Iterator[tuple[int, Samples]]:
        lengths = dict(zip(recording.starts.tolist(), recording.lengths.tolist(), strict=True))
        for key, start, data in windows:
            beat()
            reason = ""
            try:
                samples = decode(data)
                if samples.shape != self.clips.shape:
                    reason = f"reconstruction has shape {samples.shape}, not {self.clips.shape}"
            except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
                reason = f"reconstruction cannot be decoded: {error}"
            if reason:
                lost.append(Missing(recording.key, key, start, lengths[start], reason, SOUND))
            else:
                yield start, samples


def file_name(key: str) -> str:
    """A file's path for a recording's key: itself, but that nothing in it leads out of a folder, is hidden, or too long."""
    return "/".join(_component(each) for each in key.split("/"))


def _component(text: str) -> str:
    safe = text.replace(".", "%2E").replace("\0", "%00") or "%"
    if len(safe.encode()) <= LONGEST_NAME:
        return safe
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{safe.encode()[: LONGEST_NAME - 17].decode(errors='ignore')}~{digest}"
