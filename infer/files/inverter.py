"""Recordings and pictures → latents in this process, without Ray: what `invertone invert` and the Python door use, by what bulk
jobs run."""

from __future__ import annotations

import dataclasses
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from jaxtyping import Float, Float32, UInt8

from invertone.audio import clip
from invertone.audio.clip import encode, fit, peak, to_float
from invertone.audio.recording.decoder import read_recording
from invertone.audio.recording.recording import BadAudioError, Recording
from invertone.audio.windows import loudest, starts
from invertone.cluster.config.checks import is_class
from invertone.cluster.config.loading import load_with, schema_of
from invertone.cluster.errors import UserError
from invertone.cluster.formats.latents import OK, RECONSTRUCTIONS
from invertone.cluster.formats.shards import Clip, ClipInfo
from invertone.cluster.formats.signals import ClipFormat, PictureFormat, clips_of, kind_of
from invertone.cluster.progress import Progress
from invertone.cluster.storage.addresses import absolute
from invertone.cluster.storage.folder import Folder, sha256
from invertone.images.reading import decode
from invertone.infer.config import CATALOGUE
from invertone.infer.files import pictures as pictures_at_hand
from invertone.infer.files.config import DIGITS, STRETCHES
from invertone.infer.files.decode import label_numbers
from invertone.infer.files.pictures import fitted, of_array, picture_of
from invertone.infer.generate.maker import Maker
from invertone.infer.job import check_models
from invertone.infer.rows import Row
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.stage import open_inverter
from invertone.models import picture_scores, scores
from invertone.models.generator import generator_format, generator_levels, traits
from invertone.models.prior import seeded
from invertone.models.signals import signal_of

SCORES = ("feature_distance", "ssim", "spectrogram_mae", "waveform_mse")
"""Of the reconstruction against its clip, as Parquet rows name them."""
AT_A_TIME = 64
DRAWN = 16
"""Random latents at least whose mean score is what guessing gives."""


@dataclass(frozen=True)
class Inversion:
    """What came of one clip or picture.

    latent: [z]. clip, reconstruction: float32 [n] of full scale 1, of two channels [n, 2], at the generator's rate; of a
    picture uint8 [h, w, 3]. scores: of the reconstruction against the clip, those that there are (feature distance needs a
    classifier), and the inverter's own `loss`. heard: the label that the classifier gives the clip, heard_again: the
    reconstruction; None without one that knows labels. start: where the clip begins in the recording, in samples at that rate;
    length: how many of its samples are the recording's, the rest is silence; both 0 of a picture. row: all that bulk inference
    writes of a clip; `generator_label_name` in it is the label that the generator was told, of one that takes labels.
    """

    latent: Float32[np.ndarray, " z"]
    clip: Float32[np.ndarray, "n ..."] | UInt8[np.ndarray, "h w 3"]
    reconstruction: Float32[np.ndarray, "n ..."] | UInt8[np.ndarray, "h w 3"]
    scores: Mapping[str, float]
    heard: str | None
    heard_again: str | None
    start: int
    length: int
    row: Row


class Inverter:
    """Recovers the latent vectors of single recordings or pictures, with networks that are loaded once (GAN inversion, or
    projection, of what is at hand; `invertone infer` is for archives). A clip's result does not depend on what it is inverted
    beside, and is to the bit that of a bulk job with the same settings; only starting points that are drawn follow the name,
    which is a file's own, and of an array what it holds.

    >>> inverter = Inverter("encoder", device="cpu")  # the models that come with the package
    >>> inversion = inverter(np.zeros(8000, np.float32), rate=8000)
    >>> inversion.latent.shape, inversion.reconstruction.shape
    ((100,), (16384,))
    """

    def __init__(
        self,
        method: str = "hybrid",
        *,
        generator: str = DIGITS,
        mapper: str | None = DIGITS,
        classifier: str | None = DIGITS,
        device: str = "auto",
        threads: int = 0,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        """Loads the networks.

        method: a named config of `invertone infer` (encoder, restyle, hybrid, gradient, hybrid-pictures, …) or a YAML file.
        generator, mapper, classifier: checkpoints, `shipped:…`, or what else `invertone infer` takes; a method without a mapper
        ignores the mapper, and the package's own mapper and classifier, which are of clips, stay out of it where the generator
        makes pictures. device: auto, cpu or cuda. threads: 0 takes all cores. settings: further keys of that config, such as
        `evaluations=40`; a dotted key as `**{"weights.features": 1.0}`. Raises UserError for what `invertone infer` refuses.
        """
        known = [each.name for each in dataclasses.fields(schema_of(CATALOGUE, method))]
        for name in settings:
            if name.partition(".")[0] not in known:
                raise UserError(f"method={method} has no {name}", fix="leave it out, or use another method")
        if settings.get("rows", RECONSTRUCTIONS) != RECONSTRUCTIONS:
            raise UserError(
                f"rows={settings['rows']} is for archives", fix="leave it out: an Inversion has its reconstruction"
            )
        about = None if generator == DIGITS else traits(_place(generator))
        pictures = about is not None and about.signal == "picture"
        values: dict[str, Any] = {"shards": "-", "out": "-", "generator": _place(generator), "seed": seed}
        values |= {"device": device} | ({} if pictures else {"reconstruction_format": "wav"})
        # the package's own models are of clips, and its mapper is no generator of spectrograms'
        values["classifier"] = None if pictures and classifier == DIGITS else classifier and _place(classifier)
        if "mapper" in known and not (pictures and mapper == DIGITS):
            spare = mapper == DIGITS and about is not None and about.spectrograms
            values["mapper"] = None if spare else mapper and _place(mapper)
        config = load_with(CATALOGUE, method, values | settings)
        assert isinstance(config, InferConfig)
        check_models(config)
        self.config = config
        self._worker, self._generator = open_inverter(config, threads or torch.get_num_threads())
        self._peak, self._seed = generator_levels(config.generator) == "peak", seed
        self.format = generator_format(config.generator)
        self.scores = SCORES if isinstance(self.format, ClipFormat) else pictures_at_hand.SCORES

    @property
    def labels(self) -> tuple[str, ...]:
        """What the classifier can say of a clip or picture."""
        return tuple(self._worker.label_names)

    @property
    def latent_size(self) -> int:
        """z, how many coordinates a latent has."""
        return self._generator.latent_size

    def __call__(self, wave: Any, rate: int | None = None, *, stretch: str = "loudest") -> Any:
        """The Inversion of one recording or picture; of a list of them, a list.

        wave: samples [n], [channels, n] or [n, channels] (the longer side is time), float in [-1, 1] or int16 or int32, as an
        array, a tensor or a list of numbers; or the path of a file that ingest reads. rate: of the samples, in Hz, none the
        generator's; a file says its own. stretch: of a recording longer than a clip of the generator's, its loudest clip or its
        first; `all` gives the list of its clips, end to end. Raises UserError for what is no recording.

        Of a generator of pictures: pixels, uint8 [h, w, 3] or, of grey, [h, w]; or the path of a picture file. Its middle is
        taken, as high for its width as the generator's pictures are, and resized. There is no rate and no stretch of it.
        """
        several = isinstance(wave, (list, tuple)) and not (len(wave) and np.isscalar(wave[0]) and not _is_path(wave[0]))
        found = [self._clips(each, rate, stretch) for each in (wave if several else [wave])]
        inversions = iter(self.inversions([clip for clips in found for clip in clips]))
        sorted_out: list[Any] = [[next(inversions) for _ in clips] for clips in found]
        if stretch != "all":
            sorted_out = [each for (each,) in sorted_out]
        return sorted_out if several else sorted_out[0]

    def clips(self, name: str, recording: Recording, stretch: str = "loudest") -> list[Clip]:
        """The clips that `stretch` takes of a recording, at the levels that the generator was trained on."""
        if stretch not in STRETCHES:
            raise UserError(f"stretch={stretch} is not one of {', '.join(STRETCHES)}", fix="choose one")
        samples = recording.samples
        own = clips_of(self.format, "generator", self.config.generator)
        length, sample_rate = own.samples, own.sample_rate
        if stretch == "loudest":
            places = [loudest(samples, length)]
        else:
            places = starts(len(samples), stretch, length, 0, "", length)
        found = []
        for at in places:
            part = samples[at : at + length]
            info = ClipInfo(f"{name}@{at}", "test", name, at, len(part), recording.source_sample_rate)
            levelled = fit(peak(part) if self._peak else part, length)
            found.append(Clip(info, encode(levelled, "wav", sample_rate), "wav"))
        return found

    def inversions(self, clips: Sequence[Clip], title: str = "") -> list[Inversion]:
        """One per clip, in order. title: shows progress under this name. Raises UserError for one that cannot be inverted."""
        rows: dict[int, Row] = {}
        items = f"{kind_of(self.format)}s"
        with Progress(title, len(clips), items, least=self.config.batch + 1 if title else len(clips) + 1) as progress:
            while len(rows) < len(clips):
                batch: dict[str, int] = {}  # a batch holds no name twice: files of two folders may have the same
                for number, clip in enumerate(clips):
                    if number not in rows and len(batch) < self.config.batch:
                        batch.setdefault(clip.info.key, number)
                made = self._worker.rows([clips[number] for number in batch.values()])
                rows |= dict(zip(batch.values(), made, strict=True))
                progress.update(len(rows))
        waves = [self._shown(clip.data) for clip in clips]
        heard = self._heard(waves) if waves else []
        return [self._inversion(rows[number], wave, heard[number]) for number, wave in enumerate(waves)]

    @torch.no_grad()
    def floors(self, inversions: Sequence[Inversion]) -> dict[str, dict[str, float]]:
        """What silence (of pictures: grey) and random latents score on the same clips, by mean: a reconstruction that is not
        far better says nothing. Every clip is compared once, and few of them with several random latents each."""
        wanted = torch.from_numpy(self._as_seen([each.clip for each in inversions])).to(self._worker.device)
        targets = torch.cat([wanted] * math.ceil(DRAWN / len(wanted)))
        drawn = self._generator.prior.sample(len(targets), self.latent_size, seeded(self._seed, "floor")).to(wanted)
        classifier, pairs = self._worker.classifier, zip(targets.split(AT_A_TIME), drawn.split(AT_A_TIME), strict=True)
        clips = isinstance(self.format, ClipFormat)
        score = scores.score if clips else picture_scores.score
        scored: dict[str, list[Any]] = {
            "silence" if clips else pictures_at_hand.BLANK: [
                score(part, torch.zeros_like(part), classifier) for part in wanted.split(AT_A_TIME)
            ],
            "random latents": [score(part, self._generator(latents), classifier) for part, latents in pairs],
        }
        return {
            name: {
                each: float(torch.cat([getattr(one, each) for one in parts]).mean())
                for each in self.scores
                if getattr(parts[0], each) is not None
            }
            for name, parts in scored.items()
        }

    @torch.no_grad()
    def decode(
        self, latent: npt.ArrayLike, label: str | None = None
    ) -> Float32[np.ndarray, ...] | UInt8[np.ndarray, ...]:
        """The sound of a latent [z] or of several [b, z]: float32 [n] or [b, n] (of two channels [n, 2], [b, n, 2]), as
        `invertone decode` makes it; of a generator of pictures uint8 [h, w, 3] or [b, h, w, 3]. Latents outside the prior's box
        are made as they are. label: what a generator that takes labels is told, by name."""
        given = np.asarray(latent, np.float32)
        if given.ndim not in (1, 2) or given.shape[-1] != self.latent_size:
            raise UserError(
                f"has the shape {given.shape}; latents of this generator are [{self.latent_size}] or [b, {self.latent_size}]",
                where="latent",
                fix="give the latents' own generator",
            )
        make = Maker(self._generator, self.format, self._worker.device, self._worker.threads)
        latents = np.atleast_2d(given)
        told = label_numbers(self._generator, [label] * len(latents) if label else None, "label")
        values = [each.values for each in _finite(make, latents, told)]
        found = np.stack([to_float(each) if each.dtype == np.int16 else each for each in values])
        return found[0] if given.ndim == 1 else found

    def _clips(self, wave: Any, rate: int | None, stretch: str) -> list[Clip]:
        format = self.format
        if isinstance(format, PictureFormat):
            return [_picture(wave, rate, stretch, format)]
        if _is_path(wave):
            return self.clips(Path(str(wave)).name, recording_of(str(wave), format), stretch)
        recording = _recording(wave, format.sample_rate if rate is None else rate, format)
        return self.clips(sha256(recording.samples.tobytes())[:16], recording, stretch)

    @torch.no_grad()
    def _heard(self, waves: Sequence[np.ndarray]) -> list[str | None]:
        classifier, labels = self._worker.classifier, self._worker.label_names
        if classifier is None or not labels:
            return [None] * len(waves)
        parts = torch.from_numpy(self._as_seen(waves)).to(self._worker.device).split(AT_A_TIME)
        return [labels[each] for part in parts for each in classifier(part).argmax(1).tolist()]

    def _inversion(self, row: Row, wave: np.ndarray, heard: str | None) -> Inversion:
        if row["status"] != OK:
            raise UserError(f"cannot be inverted: {row['error']}", where=row["key"], fix="try another method")
        return Inversion(
            np.asarray(row["latent"], np.float32),
            wave,
            self._shown(row["reconstruction"]["bytes"]),
            {name: row[name] for name in (*self.scores, "loss") if row[name] is not None},
            heard,
            row["predicted_label_name"],
            row.get("start", 0),
            row.get("length", 0),
            row,
        )

    def _shown(self, data: bytes) -> np.ndarray:
        """A file's bytes → as an Inversion has them."""
        return decode(data) if isinstance(self.format, PictureFormat) else to_float(clip.decode(data))

    def _as_seen(self, shown: Sequence[np.ndarray]) -> np.ndarray:
        """Clips [n] or [n, channels] each → as networks see them, [b, n] or [b, channels, n]; pictures [h, w, 3] →
        [b, 3, h, w]."""
        if isinstance(self.format, PictureFormat):
            return signal_of(self.format).views(shown)
        found = np.stack(shown)
        return found if found.ndim == 2 else np.ascontiguousarray(found.swapaxes(1, 2))


def _picture(given: Any, rate: int | None, stretch: str, format: PictureFormat) -> Clip:
    pictures_at_hand.refuse_of_clips({"rate": rate, "stretch": None if stretch == STRETCHES[0] else stretch})
    if _is_path(given):
        return fitted(Path(str(given)).name, picture_of(str(given)), format)
    found = of_array(given)
    return fitted(sha256(found.pixels.tobytes())[:16], found, format)


def recording_of(file: str, clips: ClipFormat) -> Recording:
    """The recording in a file, local or s3://, at the rate and in the channels of `clips`. Raises UserError where there is
    none."""
    folder, _, name = absolute(file).rpartition("/")
    try:
        return read_recording(io.BytesIO(Folder(folder).read_bytes(name)), clips.sample_rate, clips.channels)
    except BadAudioError as error:
        raise UserError(str(error), where=file, fix="give a recording, such as a WAV file") from None
    except FileNotFoundError:
        raise UserError("no such file", where=file, fix="check the path") from None
    except IsADirectoryError:
        raise UserError("is a folder", where=file, fix="`invertone ingest folder` and `infer` are for many") from None


def _recording(wave: Any, rate: int, clips: ClipFormat) -> Recording:
    """Samples by way of a WAV file in memory, so that they are read as a file's are."""
    samples = np.asarray(wave.detach().cpu() if isinstance(wave, torch.Tensor) else wave)
    if samples.ndim not in (1, 2) or not samples.size or samples.dtype.kind not in "iuf":
        what = f"is an array of {samples.dtype} with the shape {samples.shape}"
        raise UserError(what, where="wave", fix="give numbers of the shape [n], [channels, n] or [n, channels]")
    if samples.ndim == 2 and samples.shape[0] > samples.shape[1]:
        samples = samples.T
    if samples.dtype.kind in "iu" and samples.dtype not in (np.int16, np.int32):
        raise UserError(f"holds {samples.dtype}", where="wave", fix="give int16, int32, or floats between -1 and 1")
    if not rate == int(rate) > 0:
        raise UserError(f"rate={rate} is no sample rate", fix="give samples per second, such as 44100")
    data, kind = io.BytesIO(), {"int16": "PCM_16", "int32": "PCM_32"}.get(str(samples.dtype), "FLOAT")
    soundfile.write(data, samples.T if kind != "FLOAT" else samples.T.astype(np.float32), int(rate), kind, format="WAV")
    try:
        return read_recording(io.BytesIO(data.getvalue()), clips.sample_rate, clips.channels)
    except BadAudioError as error:
        raise UserError(str(error), where="wave", fix="give a recording") from None


def _is_path(wave: object) -> bool:
    return isinstance(wave, (str, os.PathLike))


def _place(uri: str) -> str:
    return uri if is_class(uri) else absolute(str(uri))


def _finite(make: Maker, latents: Float[np.ndarray, "b z"], told: torch.Tensor | None) -> list[Any]:
    sounds = make(torch.from_numpy(latents), told)
    if not all(each.finite for each in sounds):
        raise UserError("what the generator makes of them is not finite", where="latent", fix="check the latents")
    return sounds
