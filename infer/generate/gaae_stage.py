"""What a worker does with a unit of clips by label and style: draw, decode, recover the phase, encode.

Protocols of Haque, Rana & Schuller: random latents and random labels (section V-A1: `style=random labels=random`), every label
of one style (section V-E and figure B of the generated digits: `style=grid`), linear interpolation of two latents, the label
kept (section V-F: `style=interpolated path=linear steps=N`; its equation prints z0 + η (z0 − z1), which leads away from z1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.audio.clip import encode, to_int16
from invertone.cluster.formats.latents import ERROR, OK, generated_schema, parquet_bytes
from invertone.cluster.formats.shards import Clip, ClipInfo, Reject
from invertone.cluster.formats.signals import USUAL, ClipFormat
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.sharding import shard_result
from invertone.cluster.jobs.watch import Watch
from invertone.infer.generate.config import BY_CHANCE, FIXED, GRID, INTERPOLATED, LINEAR, RANDOM, GaaeClipsConfig
from invertone.infer.generate.numbers import Numbers
from invertone.infer.threads import CALLER, Threads, worker_threads
from invertone.infer.tiles import phase_tile_size, tiles
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.device import worker_device
from invertone.models.generator import load_generator
from invertone.models.prior import Prior, seeded

NORMAL = Prior("normal")


def steps_of(config: GaaeClipsConfig) -> int:
    """How many clips lead from one style to another."""
    return config.steps or config.count


def style_number(config: GaaeClipsConfig, number: int, labels: int) -> int:
    """The number of a clip's style, of an interpolated one that of the second of the two between which it lies."""
    if config.style == INTERPOLATED:
        return 2 * (number // steps_of(config)) + 1
    return {RANDOM: number, FIXED: 0, GRID: number // labels}[config.style]


@dataclass(frozen=True)
class GaaeClipsStage:
    """Picklable; weights are loaded in `open`. label: of every clip; none: as `config.labels` says. labelled: whether the
    checkpoint heeds them. clips: what the checkpoint makes. styles [n, z]: what styles are taken from, in order; none: drawn
    from the prior."""

    config: GaaeClipsConfig
    label_names: tuple[str, ...]
    label: int | None
    labelled: bool
    metadata: Mapping[str, Any]
    clips: ClipFormat = USUAL
    styles: npt.NDArray[np.float32] | None = None

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.config.device, threads)
        autoencoder, _ = load_generator(self.config.checkpoint, device)
        assert isinstance(autoencoder, SpectrogramAutoencoder), "checked when the job was planned"
        sharing = worker_threads(device, threads)

        def process(work: Mapping[str, Any]) -> UnitResult:
            own = Numbers(**work)
            rows = self.rows(autoencoder, own.all, device, watch, sharing)
            if self.config.output == "shards":
                return self._shard(own.name, rows)
            failed = {row["key"]: str(row["error"]) for row in rows if row["status"] == ERROR}
            statistics = {"clips": len(rows), "failed": len(failed)}
            return UnitResult(self._files(own.name, rows, autoencoder), statistics, failed)

        return process

    def rows(
        self,
        autoencoder: SpectrogramAutoencoder,
        numbers: Sequence[int],
        device: torch.device,
        watch: Watch,
        sharing: Threads = CALLER,
    ) -> list[dict[str, Any]]:
        """One row per clip, in order; each depends on seed and number alone."""
        keys = {number: self.key(number) for number in numbers}
        rows = {
            number: self._described(number) | {"status": ERROR, "error": watch.excluded[key]}
            for number, key in keys.items()
            if key in watch.excluded
        }
        for batch in watch.batches(numbers, self.config.batch, keys.__getitem__):
            with watch.on([keys[number] for number in batch]):
                rows |= dict(zip(batch, self._made(autoencoder, batch, device, sharing), strict=True))
        return [rows[number] for number in numbers]

    @torch.no_grad()
    def _made(
        self, autoencoder: SpectrogramAutoencoder, numbers: Sequence[int], device: torch.device, sharing: Threads
    ) -> list[dict[str, Any]]:
        styles = torch.stack([self.style(number, autoencoder.latent_size, autoencoder.prior) for number in numbers])
        labels = F.one_hot(torch.tensor([self._label(number) for number in numbers]), len(self.label_names)).float()
        size = phase_tile_size(device)
        seeds = [seeded(self.config.seed, "phase", number).initial_seed() for number in numbers]
        own = [seeds[first : first + size] for first in range(0, len(seeds), size)]

        def made(
            style: Float[Tensor, "t z"], label: Float[Tensor, "t k"], seeds: Sequence[int]
        ) -> Float[Tensor, "t n"]:
            spectrogram = autoencoder.spectrogram(style.to(device), label.to(device))
            return autoencoder.sound(spectrogram[: len(seeds)], seeds)

        sounds = torch.cat(sharing.map(made, tiles(styles, size), tiles(labels, size), own)).numpy()
        return [
            self._described(number)
            | {"latent": style.numpy(), "audio": to_int16(np.asarray(sound))[0], "status": OK, "error": None}
            for number, style, sound in zip(numbers, styles, sounds, strict=True)
        ]

    def style(self, number: int, size: int, prior: Prior = NORMAL) -> Float[Tensor, " z"]:
        """The style latent of a clip. Along the great circle lengths stay what the prior makes likely."""
        if self.config.style != INTERPOLATED:
            return self._drawn(style_number(self.config, number, len(self.label_names)), size, prior)
        way, step = divmod(number, steps_of(self.config))
        share = step / max(1, steps_of(self.config) - 1)
        first, last = (self._drawn(2 * way + end, size, prior) for end in (0, 1))
        if self.config.path == LINEAR:
            return (1 - share) * first + share * last
        angle = torch.arccos(F.cosine_similarity(first, last, dim=0))
        return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(angle)

    def _drawn(self, number: int, size: int, prior: Prior) -> Float[Tensor, " z"]:
        """A style of the prior, or of a clip."""
        if self.styles is not None:
            return torch.from_numpy(self.styles[number])
        return prior.sample(1, size, seeded(self.config.seed, "style", number))[0]

    def key(self, number: int) -> str:
        """The clip's name: its number and label."""
        return f"{number:08d}-{self.label_names[self._label(number)]}"

    def _label(self, number: int) -> int:
        if self.label is not None:
            return self.label
        if self.config.style == INTERPOLATED and self.config.steps:
            number //= self.config.steps
        if self.config.labels == BY_CHANCE:
            return int(torch.randint(len(self.label_names), (1,), generator=seeded(self.config.seed, "label", number)))
        return number % len(self.label_names)

    def _described(self, number: int) -> dict[str, Any]:
        label = self._label(number)
        return {"key": self.key(number), "label": label, "label_name": self.label_names[label]}

    def _shard(self, name: str, rows: Sequence[dict[str, Any]]) -> UnitResult:
        """The clips' labels are those that were asked for; their latents are the styles."""
        place, seed = self.config.checkpoint, self.config.seed
        clips, rejects = [], []
        for row in rows:
            if row["status"] == ERROR:
                rejects.append(Reject(place, row["key"], row["error"]))
                continue
            info = ClipInfo(
                key=f"generated-{seed}-{row['key']}",
                split=self.config.split,
                source_uri=place,
                start=0,
                length=self.clips.samples,
                source_sample_rate=self.clips.sample_rate,
                label=row["label"] if self.labelled else None,
                label_name=row["label_name"] if self.labelled else None,
                latent=tuple(row["latent"].tolist()),
            )
            clips.append(Clip(info, encode(row["audio"], "flac", self.clips.sample_rate), "flac"))
        return shard_result(name, clips, rejects, 0)

    def _files(
        self, name: str, rows: Sequence[dict[str, Any]], autoencoder: SpectrogramAutoencoder
    ) -> dict[str, bytes]:
        """WAV files, or one Parquet file."""
        sounds = {
            row["key"]: encode(row.pop("audio"), "wav", self.clips.sample_rate) for row in rows if row["status"] == OK
        }
        if self.config.output == "wav":
            return {f"wav/{key}.wav": data for key, data in sounds.items()}
        whole = [
            row
            | {"audio": {"bytes": sounds[row["key"]], "path": f"{row['key']}.wav"} if row["key"] in sounds else None}
            for row in rows
        ]
        schema = generated_schema(autoencoder.latent_size, self.metadata)
        return {f"{name}.parquet": parquet_bytes(whole, schema)}
