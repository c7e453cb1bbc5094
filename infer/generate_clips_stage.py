"""What a worker does to make a shard: draw latents, generate, quantise, listen, encode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio.clip import CLIP_SAMPLES, SAMPLE_RATE, Samples, encode, to_float, to_int16
from cluster.engine import UnitResult
from cluster.sharding import shard_result
from cluster.shards import Clip, ClipInfo, Reject
from cluster.watch import Watch
from infer.generate_config import ClipsConfig
from infer.threads import CALLER, Threads, worker_threads
from infer.tiles import tile_size, tiles
from models.checkpoint import load_classifier
from models.device import worker_device
from models.generator import Generator, load_generator
from models.guest_copies import for_threads
from models.prior import seeded
from models.resnet import ResNet18


@dataclass(frozen=True)
class Sound:
    """16-bit samples [n], how many lay outside full scale, whether all were finite, and what a classifier heard."""

    samples: Samples
    clipped: int
    finite: bool
    label: int | None


def clip_key(seed: int, number: int) -> str:
    """Keys sort as the clips' numbers follow."""
    return f"generated-{seed}-{number:08d}"


def drawn(generator: Generator, seed: int, number: int) -> Float[Tensor, "1 z"]:
    """The latent of one clip, from the prior: the same in every batch, shard and run."""
    return generator.prior.sample(1, generator.latent_size, seeded(seed, "generated clip", number))


@dataclass(frozen=True)
class ClipsStage:
    """Picklable; weights are loaded in `open`."""

    config: ClipsConfig
    label_names: tuple[str, ...]

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.config.device, threads)
        generator, _ = load_generator(self.config.generator, device)
        classifier = load_classifier(self.config.classifier, device)[0] if self.config.classifier else None
        sharing = worker_threads(device, threads)
        if sharing.count > 1:
            generator = for_threads(generator)
        maker = ClipMaker(self.config, self.label_names, generator, classifier, device, sharing)
        pool = ThreadPoolExecutor(threads)

        def process(work: Mapping[str, Any]) -> UnitResult:
            numbers = range(work["first"], work["first"] + work["count"])
            return maker.shard(work["name"], numbers, watch, pool)

        return process


@dataclass(frozen=True)
class ClipMaker:
    """Turns clips' numbers into clips."""

    config: ClipsConfig
    label_names: tuple[str, ...]
    generator: Generator
    classifier: ResNet18 | None
    device: torch.device
    threads: Threads = CALLER

    def shard(self, name: str, numbers: Sequence[int], watch: Watch, pool: ThreadPoolExecutor) -> UnitResult:
        """The clips of one shard, in order. A latent of which no sound comes is a reject with its reason."""
        seed, audio_format = self.config.seed, self.config.format
        keys = {number: clip_key(seed, number) for number in numbers}
        lost = {key: watch.excluded[key] for key in keys.values() if key in watch.excluded}
        clips: dict[str, Clip] = {}
        clipped = 0
        for batch in watch.batches(numbers, self.config.batch, keys.__getitem__):
            with watch.on([keys[number] for number in batch]):
                latents = torch.cat([drawn(self.generator, seed, number) for number in batch])
                sounds = self.sounds(latents)
                files = pool.map(lambda sound: encode(sound.samples, audio_format), sounds)
                for number, latent, sound, file in zip(batch, latents, sounds, files, strict=True):
                    if sound.finite:
                        clips[keys[number]] = Clip(self._info(keys[number], latent, sound.label), file, audio_format)
                        clipped += sound.clipped
                    else:
                        lost[keys[number]] = "the generator's samples are not finite"
        rejects = [Reject(self.config.generator, key, reason) for key, reason in lost.items()]
        return shard_result(name, [clips[key] for key in keys.values() if key in clips], rejects, clipped)

    def sounds(self, latents: Float[Tensor, "b z"]) -> list[Sound]:
        """What the generator makes of each latent. Networks always see tiles of one shape, the last one filled up, so
        that a clip is the same to the bit whatever clips are made with it (see `infer.inverters.Tiled`).
        """
        made = self.threads.map(self._of_tile, tiles(latents, tile_size(self.device)))
        return [sound for part in made for sound in part][: len(latents)]

    @torch.no_grad()
    def _of_tile(self, latents: Float[Tensor, "b z"]) -> list[Sound]:
        waveform = self.generator(latents.to(self.device)).float().cpu().numpy()
        finite = np.isfinite(waveform).all(axis=1)
        quantised = [to_int16(each) for each in np.nan_to_num(waveform)]
        labels: list[int | None] = [None] * len(latents)
        if self.classifier is not None:  # it hears what is written
            heard = torch.from_numpy(to_float(np.stack([samples for samples, _ in quantised]))).to(self.device)
            labels = self.classifier(heard).argmax(1).tolist()
        return [
            Sound(samples, clipped, bool(whole), label)
            for (samples, clipped), whole, label in zip(quantised, finite, labels, strict=True)
        ]

    def _info(self, key: str, latent: Float[Tensor, " z"], label: int | None) -> ClipInfo:
        return ClipInfo(
            key=key,
            split=self.config.split,
            source_uri=self.config.generator,
            start=0,
            length=CLIP_SAMPLES,
            source_sample_rate=SAMPLE_RATE,
            label=label,
            label_name=self.label_names[label] if label is not None else None,
            latent=tuple(latent.tolist()),
        )
