"""What the header of a recording says of it, without decoding its sound."""

from __future__ import annotations

import io
from dataclasses import dataclass

import soundfile

from invertone.audio.recording.checks import check_rate
from invertone.audio.recording.containers import PlainWav, container, instead, plain_wav, untagged
from invertone.audio.recording.decoder import UNKNOWN_FRAMES, reasons
from invertone.audio.recording.mpeg4 import KINDS, Mpeg4Sound
from invertone.audio.recording.recording import BadAudioError


@dataclass(frozen=True)
class Header:
    """form: the container's name (WAV, FLAC, MP3, …). rate in Hz. seconds: None where the header does not say."""

    form: str
    rate: int
    channels: int
    seconds: float | None


def read_header(file: io.BufferedIOBase) -> Header:
    """The header of a seekable file. Raises BadAudioError with a reason for one that is no recording as far as its header
    tells; whether the sound is whole, only decoding shows."""
    size = file.seek(0, io.SEEK_END)
    if size == 0:
        raise BadAudioError("empty file (0 bytes)")
    file.seek(0)
    plain = plain_wav(file.read(PlainWav.BEGINS), size)
    if plain is not None:
        return Header("WAV", plain.rate, plain.channels, plain.frames / plain.rate)
    file, size = untagged(file, size)
    file.seek(0)
    head = file.read(256)
    kind = container(head)
    if kind is None:
        raise BadAudioError(f"not audio ({instead(head)})")
    if kind in KINDS:
        opened = Mpeg4Sound(file, kind)
        opened.close()
        return Header(kind, opened.samplerate, opened.channels, opened.seconds)
    file.seek(0)
    with reasons(), soundfile.SoundFile(file) as sound:
        check_rate(sound.samplerate)
        known = sound.frames < UNKNOWN_FRAMES
        return Header(kind, sound.samplerate, sound.channels, sound.frames / sound.samplerate if known else None)
