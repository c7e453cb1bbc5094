"""What tables of latents look at: a sample of an inference run's rows and clips as arrays, gathered by the engine.

A unit writes one .npz per Parquet file. Which clips are taken is decided by the hash of seed and key, so it depends neither on
how shards are cut nor on workers.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invertone.audio.clip import decode
from invertone.audio.front_end import FrontEnd, log_magnitude
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.latents import GENERATOR_LABEL, OK, read_part
from invertone.cluster.formats.ledger import LIMIT, Ledger, Output, Unit, first_items
from invertone.cluster.formats.shards import PICTURE_FORMATS, Clip, ShardEntry, read_shard
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome, UnitResult, run_units
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.eval.latents.inference_runs import InferenceRun, Part
from invertone.eval.measures.loudness import heard
from invertone.models.device import worker_device
from invertone.models.signals import PICTURES

HASHES = 2**64
SCORES = ("waveform_mse", "spectrogram_mae", "ssim", "feature_distance")
FRONT_END = FrontEnd(reference="full_scale")
POOL = (2, 4)
"""Neighbouring cells of a spectrogram (frequency x time) that are averaged: 256 x 128 becomes 128 x 32."""
PARTS = 16
"""Of a picture's height and width."""
TEXTS = ("key", "split", "label_name", "speaker", "gender", "recording", "shard")
UNKNOWN_LABEL = -1


@dataclass(frozen=True)
class Features:
    """Columns of n clips, by name.

    key, split, label_name, speaker, gender, recording, shard: text, "" where unknown; recording is what the clip was cut
    from, a generated clip's own key. hash: uint64, which decides the sample. label: int, -1 where unknown; generator_label: the
    generator's number of the one that it was told, -1 where it was told none. source_sample_rate: int. Latent columns:
    float32 [n, z]. Score columns: float64, NaN where unknown. With sound: spectrogram float32 [n, d], all channels one after
    the other (of the usual clips [n, 4096], or [n, 32768] where the whole was asked for), loudness_seen and
    loudness_levelled float64 [n, 3]; of pictures in its place `pooled_pixels`.
    """

    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def take(self, chosen: np.ndarray) -> Features:
        return Features({name: each[chosen] for name, each in self.columns.items()})

    def sample(self, count: int) -> Features:
        """At most `count` clips, in the order of their hashes."""
        return self.take(np.argsort(self["hash"], kind="stable")[:count])

    def to_bytes(self) -> bytes:
        """An .npz; equal columns, equal bytes."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = dict(self.columns)
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> Features:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return Features({name: arrays[name] for name in arrays.files})


def joined(parts: Sequence[Features]) -> Features:
    """One after the other; columns that not all have are left out."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return Features({})
    shared = [name for name in parts[0].columns if all(name in part for part in parts)]
    return Features({name: np.concatenate([part[name] for part in parts]) for name in shared})


@dataclass(frozen=True)
class Request:
    """What is gathered. vectors: latent columns. sound: whether spectrograms and loudness are computed, at `level`; whole:
    of spectrograms every cell, not means of POOL. attributes: names of what else shards say of a clip."""

    seed: int
    vectors: tuple[str, ...]
    sound: bool
    level: str
    batch: int
    device: str
    whole: bool = False
    attributes: tuple[str, ...] = ()


def attribute_column(name: str) -> str:
    """The column of an attribute."""
    return f"attribute {name}"


@dataclass(frozen=True)
class Source:
    """Rows of a run: about the `wanted` ones of smallest hash in these parts."""

    run: InferenceRun
    parts: tuple[Part, ...]
    wanted: int

    def below(self, limit: int) -> int:
        """Of the first `limit` rows (0: all), clips are taken whose hash is smaller: so many that fewer than `wanted` would be
        a miracle (six standard deviations)."""
        rows = sum(part.rows for part in self.parts)
        rows = min(rows, limit) if limit else rows
        enough = self.wanted + 6 * math.sqrt(self.wanted) + 20
        return HASHES if rows <= enough else int(HASHES * (enough / rows))


def clip_hash(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.sha256(repr((seed, key)).encode()).digest()[:8], "big")


def feature_units(sources: Sequence[Source], limit: int = 0) -> list[Unit]:
    """One per Parquet file that holds any of the first `limit` rows of its source (0: all)."""
    chosen = []
    for number, source in enumerate(sources):
        below, units = source.below(limit), []
        for part in source.parts:
            work = {"latents": source.run.uri, "part": dataclasses.asdict(part.output), "below": below}
            work |= {"shards": source.run.shards, "shard": dataclasses.asdict(part.shard)}
            name = f"{number:02d}-{part.shard.name.removesuffix('.tar')}"
            units.append(Unit(name, work | {"name": name}, items=part.shard.count))
        chosen += first_items(units, limit)
    return chosen


def gather(
    driver: Driver, what: str, sources: Sequence[Source], request: Request, settings: BulkConfig
) -> tuple[list[Features], Outcome]:
    """The sampled rows of each source, at most `wanted`, in the order of their hashes."""
    stage = FeatureStage(request)
    units = feature_units(sources, settings.limit)
    outcome = run_units(driver, stage, units, what=what, items="rows", settings=settings, device=request.device)
    folder = driver.term.folder
    parts: list[list[Features]] = [[] for _ in sources]
    for commit in Ledger(folder).commits():
        for output in commit.outputs:
            data = folder.read_verified(output.name, output.bytes, output.sha256, "make the table with a new out")
            parts[int(commit.unit.split("-")[0])].append(Features.from_bytes(data))
    gathered = [joined(each) for each in parts]
    return [
        each.sample(source.wanted) if len(each) else each for each, source in zip(gathered, sources, strict=True)
    ], outcome


@dataclass(frozen=True)
class FeatureStage:
    """Picklable."""

    request: Request

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.request.device, threads)

        def process(work: Mapping[str, Any]) -> UnitResult:
            rows = self._sampled(work)
            if not rows:
                return UnitResult(statistics={"clips": 0})
            clips = {clip.info.key: clip for clip in read_shard(Folder.at(work["shards"]), ShardEntry(**work["shard"]))}
            found: list[Features] = []
            for batch in watch.batches(rows, self.request.batch, lambda row: row["key"]):
                with watch.on([row["key"] for row in batch]):
                    found.append(
                        self.features(batch, [clips[row["key"]] for row in batch], work["shard"]["name"], device)
                    )
            features = joined(found)
            outputs = {f"features/{work['name']}.npz": features.to_bytes()} if len(features) else {}
            return UnitResult(outputs, {"clips": len(features)})

        return process

    def _sampled(self, work: Mapping[str, Any]) -> list[dict[str, Any]]:
        wanted = ("key", "status", GENERATOR_LABEL, *self.request.vectors, *SCORES)
        table = read_part(Folder.at(work["latents"]), Output(**work["part"]), wanted).slice(0, work.get(LIMIT))
        hashes = [clip_hash(self.request.seed, key) for key in table["key"].to_pylist()]
        ok = [status == OK for status in table["status"].to_pylist()]
        chosen = [at for at, each in enumerate(hashes) if ok[at] and each < work["below"]]
        return [row | {"hash": hashes[at]} for at, row in zip(chosen, table.take(chosen).to_pylist(), strict=True)]

    def features(
        self, rows: Sequence[Mapping[str, Any]], clips: Sequence[Clip], shard: str, device: torch.device
    ) -> Features:
        """Columns of a batch. Each clip's are computed from it alone, so that its batch does not matter."""
        infos = [clip.info for clip in clips]
        texts = [
            {name: getattr(info, name, None) or "" for name in TEXTS}
            | {"recording": info.source_uri if info.latent is None else info.key, "shard": shard}
            for info in infos
        ]
        columns = {name: np.array([each[name] for each in texts]) for name in TEXTS}
        columns["hash"] = np.array([row["hash"] for row in rows], np.uint64)
        columns["label"] = np.array([UNKNOWN_LABEL if info.label is None else info.label for info in infos], np.int64)
        told = [row.get(GENERATOR_LABEL) for row in rows]
        columns[GENERATOR_LABEL] = np.array([UNKNOWN_LABEL if each is None else each for each in told], np.int64)
        columns["source_sample_rate"] = np.array([info.source_sample_rate for info in infos], np.int64)
        for name in self.request.vectors:
            columns[name] = np.array([row[name] for row in rows], np.float32)
        for name in SCORES:
            columns[name] = np.array([math.nan if row.get(name) is None else row[name] for row in rows], np.float64)
        for name in self.request.attributes:
            said = [(info.attributes or {}).get(name, math.nan) for info in infos]
            columns[attribute_column(name)] = np.array(said, np.float64)
        if self.request.sound and clips and clips[0].format in PICTURE_FORMATS:
            pixels = torch.from_numpy(PICTURES.views([PICTURES.decode(clip.data) for clip in clips]))
            columns["spectrogram"] = pooled_pixels(pixels).numpy()
        elif self.request.sound:
            sounds = [heard(decode(clip.data), self.request.level) for clip in clips]
            columns["loudness_seen"] = np.stack([seen for _, seen, _ in sounds])
            columns["loudness_levelled"] = np.stack([levelled for _, _, levelled in sounds])
            seen = [torch.from_numpy(np.ascontiguousarray(waveform.T)) for waveform, _, _ in sounds]
            columns["spectrogram"] = np.stack([self._spectrogram(each.to(device)).cpu().numpy() for each in seen])
        return Features(columns)

    def _spectrogram(self, waveform: Float[Tensor, "*c n"]) -> Float[Tensor, " d"]:
        return whole_spectrogram(waveform).flatten() if self.request.whole else pooled_spectrogram(waveform)


def pooled_pixels(picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b d"]:
    """Means of the parts of pictures, as many across and down as pixels are, PARTS at most; flattened."""
    height, width = picture.shape[-2:]
    parts = (min(PARTS, height), min(PARTS, width))
    return torch.nn.functional.adaptive_avg_pool2d(picture, parts).flatten(1)


def whole_spectrogram(waveform: Float[Tensor, "*c n"]) -> Float[Tensor, "1 *c f t"]:
    """The log-magnitude spectrogram of each channel, 512/128, 87 dB below full scale, in [-1, 1]."""
    return log_magnitude(waveform[None], FRONT_END)


def pooled_spectrogram(waveform: Float[Tensor, "*c n"]) -> Float[Tensor, " d"]:
    """`whole_spectrogram`, means of POOL cells, flattened."""
    return torch.nn.functional.avg_pool2d(whole_spectrogram(waveform), POOL).flatten()
