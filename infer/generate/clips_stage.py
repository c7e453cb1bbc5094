"""What a worker does to make a shard: draw latents, generate, quantise, listen, encode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.audio.clip import encode
from invertone.cluster.formats.shards import Clip, ClipInfo, Reject
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.sharding import shard_result
from invertone.cluster.jobs.watch import Watch
from invertone.infer.generate.config import ClipsConfig
from invertone.infer.generate.numbers import Numbers
from invertone.infer.generate.sounds import SoundMaker
from invertone.models.generator import Generator
from invertone.models.prior import seeded


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
        config = self.config
        sounds = SoundMaker.open(config.generator, config.classifier, config.device, threads)
        maker = ClipMaker(config, self.label_names, sounds)
        pool = ThreadPoolExecutor(threads)

        def process(work: Mapping[str, Any]) -> UnitResult:
            own = Numbers(**work)
            return maker.shard(own.name, own.all, watch, pool)

        return process


@dataclass(frozen=True)
class ClipMaker:
    """Turns clips' numbers into clips."""

    config: ClipsConfig
    label_names: tuple[str, ...]
    make: SoundMaker

    def shard(self, name: str, numbers: Sequence[int], watch: Watch, pool: ThreadPoolExecutor) -> UnitResult:
        """The clips of one shard, in order. A latent of which no sound comes is a reject with its reason."""
        seed, audio_format = self.config.seed, self.config.format
        keys = {number: clip_key(seed, number) for number in numbers}
        lost = {key: watch.excluded[key] for key in keys.values() if key in watch.excluded}
        clips: dict[str, Clip] = {}
        clipped = 0
        for batch in watch.batches(numbers, self.config.batch, keys.__getitem__):
            with watch.on([keys[number] for number in batch]):
                latents = torch.cat([drawn(self.make.generator, seed, number) for number in batch])
                sounds = self.make(latents)
                files = pool.map(lambda sound: encode(sound.samples, audio_format, self.make.clips.sample_rate), sounds)
                for number, latent, sound, file in zip(batch, latents, sounds, files, strict=True):
                    if sound.finite:
                        clips[keys[number]] = Clip(self._info(keys[number], latent, sound.label), file, audio_format)
                        clipped += sound.clipped
                    else:
                        lost[keys[number]] = "the generator's samples are not finite"
        rejects = [Reject(self.config.generator, key, reason) for key, reason in lost.items()]
        return shard_result(name, [clips[key] for key in keys.values() if key in clips], rejects, clipped)

    def _info(self, key: str, latent: Float[Tensor, " z"], label: int | None) -> ClipInfo:
        return ClipInfo(
            key=key,
            split=self.config.split,
            source_uri=self.config.generator,
            start=0,
            length=self.make.clips.samples,
            source_sample_rate=self.make.clips.sample_rate,
            label=label,
            label_name=self.label_names[label] if label is not None else None,
            latent=tuple(latent.tolist()),
        )
