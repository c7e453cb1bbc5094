"""Keys of `invertone invert` and `invertone decode`, which work on single files. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, key

STRETCHES = ("loudest", "first", "all")
DIGITS = "shipped:digits"


@dataclass(frozen=True)
class InvertConfig:
    """One recording or picture → its latent and reconstruction."""

    file: str = key(REQUIRED, "a recording or picture in any format that ingest reads", path=True)
    out: str = key(
        "",
        "WAV or FLAC (of pictures PNG) for the reconstruction; latent and scores lie beside it as .npy and .json. Empty: "
        "NAME-inverted.wav (.png) in this folder",
        path=True,
    )
    generator: str = key(DIGITS, "generator whose latents are wanted, as for infer", path=True)
    mapper: str | None = key(DIGITS, "checkpoint of a mapper trained for this generator", path=True)
    classifier: str | None = key(DIGITS, "checkpoint for what is heard and feature distance", path=True)
    method: str = key(
        "hybrid",
        "a named config of infer: encoder, restyle, hybrid, gradient, …; of pictures encoder, hybrid-pictures, …",
    )
    evaluations: int | None = key(None, "of gradient methods, instead of the named config's", minimum=1)
    stretch: str = key(
        "loudest", "of a longer recording: its loudest second, its first, or all of it", choices=STRETCHES
    )
    seed: int = key(0, "decides starting points that are drawn")
    device: str = key("auto", "auto takes a GPU where there is one", choices=("auto", "cpu", "cuda"))
    threads: int = key(0, "0 takes all cores", minimum=0)


@dataclass(frozen=True)
class DecodeConfig:
    """Latents, edited perhaps → sound or pictures."""

    latents: str = key(
        REQUIRED, ".npy of shape [z] or [n, z], .json of invert, or Parquet of infer (a file or run folder)", path=True
    )
    out: str = key(
        REQUIRED,
        "NAME.wav or NAME.flac takes all clips one after the other, NAME.png all pictures side by side; a folder takes a "
        "file of each",
        path=True,
    )
    generator: str = key(DIGITS, "generator that the latents are of", path=True)
    column: str = key("latent", "of Parquet: the column that holds the latents")
    label: str | None = key(
        None, "of a generator that takes labels: every clip's, by name; none: those that infer wrote beside the latents"
    )
    format: str = key("wav", "audio format of the files in a folder; pictures are PNG", choices=("wav", "flac"))
    batch: int = key(64, "clips at a time", minimum=1)
    device: str = key("auto", "auto takes a GPU where there is one", choices=("auto", "cpu", "cuda"))


INVERT, DECODE = InvertConfig, DecodeConfig
