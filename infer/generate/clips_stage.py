"""What a worker does to make a shard: draw latents, generate, quantise, classify, encode."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from invertone.cluster.formats.shards import Clip, ClipInfo, Reject
from invertone.cluster.formats.signals import ClipFormat, SignalFormat
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.sharding import shard_result
from invertone.cluster.jobs.watch import Watch
from invertone.infer.generate.config import ClipsConfig
from invertone.infer.generate.maker import Maker
from invertone.infer.generate.numbers import Numbers
from invertone.models.generator import Generator
from invertone.models.prior import seeded
from invertone.models.signals import signal_of


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
        make = Maker.open(config.generator, config.classifier, config.device, threads)
        maker = ClipMaker(config, self.label_names, make)
        pool = ThreadPoolExecutor(threads)

        def process(work: Mapping[str, Any]) -> UnitResult:
            own = Numbers(**work)
            return maker.shard(own.name, own.all, watch, pool)

        return process


@dataclass(frozen=True)
class ClipMaker:
    """Turns numbers into clips or pictures."""

    config: ClipsConfig
    label_names: tuple[str, ...]
    make: Maker

    def shard(self, name: str, numbers: Sequence[int], watch: Watch, pool: ThreadPoolExecutor) -> UnitResult:
        """The clips or pictures of one shard, in order. A latent of which none comes is a reject with its reason."""
        seed, format, signal = self.config.seed, self.make.format, signal_of(self.make.format)
        extension = self.config.format if self.config.format in signal.formats else signal.formats[0]
        numbers_are = "samples" if isinstance(format, ClipFormat) else "pixels"
        keys = {number: clip_key(seed, number) for number in numbers}
        lost = {key: watch.excluded[key] for key in keys.values() if key in watch.excluded}
        clips: dict[str, Clip] = {}
        clipped = 0
        for batch in watch.batches(numbers, self.config.batch, keys.__getitem__):
            with watch.on([keys[number] for number in batch]):
                latents = torch.cat([drawn(self.make.generator, seed, number) for number in batch])
                made = self.make(latents)
                files = pool.map(lambda each: signal.encode(each.values, extension, format), made)
                for number, latent, each, file in zip(batch, latents, made, files, strict=True):
                    if each.finite:
                        clips[keys[number]] = Clip(self._info(keys[number], latent, each.label), file, extension)
                        clipped += each.clipped
                    else:
                        lost[keys[number]] = f"the generator's {numbers_are} are not finite"
        rejects = [Reject(self.config.generator, key, reason) for key, reason in lost.items()]
        return shard_result(name, [clips[key] for key in keys.values() if key in clips], rejects, clipped)

    def _info(self, key: str, latent: Float[Tensor, " z"], label: int | None) -> ClipInfo:
        info = ClipInfo(
            key=key,
            split=self.config.split,
            source_uri=self.config.generator,
            label=label,
            label_name=self.label_names[label] if label is not None else None,
            latent=tuple(latent.tolist()),
        )
        return dataclasses.replace(info, **_measures(self.make.format))


def _measures(format: SignalFormat) -> dict[str, Any]:
    """What a description says of how long a clip is, or how large a picture."""
    if isinstance(format, ClipFormat):
        return {"start": 0, "length": format.samples, "source_sample_rate": format.sample_rate}
    return {"source_height": format.height, "source_width": format.width}
