"""What this project computes with, imported from its tree where it is not installed and nothing encodes or decodes sound.

A GPU machine may have torch, its usual company (numpy, pyarrow, fsspec, safetensors, jaxtyping) and nothing else, nor any way
to get it. Import this module first there: `invertone` then finds its rooms beside it, and the libraries of audio files, which
modules import that also compute, are stood in for where they are missing, as is that of pictures. Whoever calls one of those is
told that it is.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import invertone

AUDIO_LIBRARIES = {"soundfile": "SoundFileError", "miniaudio": "MiniaudioError"}
"""With the errors that they raise, which those who call them name."""


class _Missing(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # what the import system looks for
            raise AttributeError(name)
        raise ModuleNotFoundError(f"{self.__name__} is not installed here: no {self.__name__}.{name}")


def _prepare() -> frozenset[str]:
    if importlib.util.find_spec("invertone.audio") is None:
        invertone.__path__.append(str(Path(__file__).parents[1]))
    missing = frozenset(name for name in AUDIO_LIBRARIES if importlib.util.find_spec(name) is None)
    for name in missing:
        module = _Missing(name)
        setattr(module, AUDIO_LIBRARIES[name], type(AUDIO_LIBRARIES[name], (Exception,), {}))
        sys.modules[name] = module
    if importlib.util.find_spec("PIL") is None:
        pillow = _Missing("PIL")
        vars(pillow)["Image"] = _Missing("PIL.Image")
        vars(pillow)["UnidentifiedImageError"] = type("UnidentifiedImageError", (Exception,), {})
        vars(pillow)["features"] = SimpleNamespace(check=lambda name: False)
        sys.modules["PIL"] = pillow
    return missing


MISSING = _prepare()
"""Libraries of audio files that are not there: what is to be decoded is then kept as samples."""
