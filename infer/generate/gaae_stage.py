"""What a worker does with a unit of clips by label and style: draw, decode, recover the phase, encode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from invertone.audio.clip import CLIP_SAMPLES, SAMPLE_RATE, encode, to_int16
from invertone.cluster.formats.latents import ERROR, OK, generated_schema, parquet_bytes
from invertone.cluster.formats.shards import Clip, ClipInfo, Reject
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.sharding import shard_result
from invertone.cluster.jobs.watch import Watch
from invertone.infer.generate.config import GaaeClipsConfig
from invertone.infer.generate.numbers import Numbers
from invertone.infer.threads import CALLER, Threads, worker_threads
from invertone.infer.tiles import phase_tile_size, tiles
from invertone.models.autoencoder import SpectrogramAutoencoder
from invertone.models.device import worker_device
from invertone.models.generator import load_generator
from invertone.models.prior import Prior, seeded

NORMAL = Prior("normal")


@dataclass(frozen=True)
class GaaeClipsStage:
    """Picklable; weights are loaded in `open`. label: of every clip; none: all labels in turn. labelled: whether the
    checkpoint heeds them."""

    config: GaaeClipsConfig
    label_names: tuple[str, ...]
    label: int | None
    labelled: bool
    metadata: Mapping[str, Any]

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
        """The style latent of a clip. Interpolation goes along the great circle, so that lengths stay what the prior makes
        likely."""
        seed, kind = self.config.seed, self.config.style
        if kind != "interpolated":
            return prior.sample(1, size, seeded(seed, "style", number if kind == "random" else 0))[0]
        first, last = (prior.sample(1, size, seeded(seed, "style", end))[0] for end in (0, 1))
        share = number / max(1, self.config.count - 1)
        angle = torch.arccos(F.cosine_similarity(first, last, dim=0))
        return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(angle)

    def key(self, number: int) -> str:
        """The clip's name: its number and label."""
        return f"{number:08d}-{self.label_names[self._label(number)]}"

    def _label(self, number: int) -> int:
        return number % len(self.label_names) if self.label is None else self.label

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
                length=CLIP_SAMPLES,
                source_sample_rate=SAMPLE_RATE,
                label=row["label"] if self.labelled else None,
                label_name=row["label_name"] if self.labelled else None,
                latent=tuple(row["latent"].tolist()),
            )
            clips.append(Clip(info, encode(row["audio"], "flac"), "flac"))
        return shard_result(name, clips, rejects, 0)

    def _files(
        self, name: str, rows: Sequence[dict[str, Any]], autoencoder: SpectrogramAutoencoder
    ) -> dict[str, bytes]:
        """WAV files, or one Parquet file."""
        sounds = {row["key"]: encode(row.pop("audio"), "wav") for row in rows if row["status"] == OK}
        if self.config.output == "wav":
            return {f"wav/{key}.wav": data for key, data in sounds.items()}
        whole = [
            row
            | {"audio": {"bytes": sounds[row["key"]], "path": f"{row['key']}.wav"} if row["key"] in sounds else None}
            for row in rows
        ]
        schema = generated_schema(autoencoder.latent_size, self.metadata)
        return {f"{name}.parquet": parquet_bytes(whole, schema)}
