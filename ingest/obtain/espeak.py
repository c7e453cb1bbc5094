"""espeak-ng, a speech synthesiser, behind ctypes.

It is GPL-3.0 and loaded at run time from the optional package `espeakng_loader` (extra `speech`); nothing of it is part
of this package.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from invertone.audio.clip import Samples
from invertone.cluster.errors import UserError

ESPEAK_RATE = 22_050
_SYNCHRONOUS, _UTF8 = 2, 1
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_BUFFER_MS = 2_000
# A third of espeak's usual loudness, since at half of it some variants still overdrive its 16 bits.
_SOFT = 35
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_DATA_FILES = ("phondata", "phonindex", "phontab", "intonations", "en_dict")


class Espeak:
    """espeak-ng, its library loaded anew for every utterance.

    It keeps state between utterances (flutter, noise, wave phase) that its own re-initialisation leaves: of 1,500
    utterances made in another order 1,196 came out different. A fresh library has no past, and costs about 0.4 ms.
    """

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise UserError("espeak-ng is not installed", fix="pip install 'invertone[speech]'") from None
        self._folder = tempfile.TemporaryDirectory(prefix="invertone-")
        root = Path(self._folder.name)
        # A copy of the library that nobody else in this process holds, so that closing it really unloads it; and only
        # English data, since espeak-ng reads every voice file there is to find one by name (4.1 ms a clip, so 1.2).
        self._library = str(shutil.copy(espeakng_loader.get_library_path(), root))
        data = Path(espeakng_loader.get_data_path())
        for name in _DATA_FILES:
            shutil.copy(data / name, root)
        (root / "lang").mkdir()
        for language in (data / "lang" / "gmw").glob("en*"):
            shutil.copy(language, root / "lang" / language.name.lower())
        shutil.copytree(data / "voices" / "!v", root / "voices" / "!v")
        self._data = os.fsencode(root)
        self._heard: list[bytes] = []
        self._callback = _CALLBACK(self._hear)
        self.version = self._start_and_check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def say(self, word: str, voice: str, pitch: int, pitch_range: int, rate: int, seed: int) -> Samples:
        """int16 [n] at 22,050 Hz. `voice` is `accent+variant`, pitch and range are 0–99, `rate` is words per minute."""
        library = self._load()
        try:
            _held(library.espeak_SetVoiceByName(voice.encode()), f"voice {voice}")
            settings = {_RATE: rate, _VOLUME: _SOFT, _PITCH: pitch, _RANGE: pitch_range}
            for parameter, value in settings.items():
                _held(library.espeak_SetParameter(parameter, value, 0), f"parameter {parameter}")
            library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
            self._heard.clear()
            text = word.encode() + b"\0"
            _held(library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, _UTF8, None, None), f"word {word}")
            return np.frombuffer(b"".join(self._heard), np.int16)
        finally:
            self._unload(library)

    def _hear(self, samples: int | None, count: int, events: int | None) -> int:
        if samples and count > 0:
            self._heard.append(ctypes.string_at(samples, 2 * count))
        return 0

    def _load(self) -> ctypes.CDLL:
        library = ctypes.CDLL(self._library)
        rate = library.espeak_Initialize(_SYNCHRONOUS, _BUFFER_MS, self._data, 0)
        if rate != ESPEAK_RATE:
            _ctypes.dlclose(library._handle)
            raise UserError(
                "espeak-ng cannot read its data", where=self._folder.name, fix="name a shorter folder in TMPDIR"
            )
        library.espeak_SetSynthCallback(self._callback)
        return library

    def _unload(self, library: ctypes.CDLL) -> None:
        library.espeak_Terminate()
        _ctypes.dlclose(library._handle)

    def _start_and_check(self) -> str:
        """The library's version, once it is known to start and to be gone after it was closed."""
        try:
            library = self._load()
        except OSError as error:
            raise UserError(f"espeak-ng cannot be loaded: {error}", fix="reinstall 'invertone[speech]'") from None
        library.espeak_Info.restype = ctypes.c_char_p
        version = library.espeak_Info(None).decode()
        self._unload(library)
        try:
            ctypes.CDLL(self._library, mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        except OSError:
            return version
        raise UserError(
            "this system never unloads a library, so clips could not be repeated", fix="use glibc Linux or macOS"
        )


def _held(status: int, what: str) -> None:
    if status != 0:
        raise RuntimeError(f"espeak-ng refused {what}: status {status}")
