"""What a worker does with a shard: read it, make its rows, write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from invertone.cluster.formats.latents import errors_of, latents_schema, parquet_bytes
from invertone.cluster.formats.shards import ShardEntry, read_shard
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.infer.build import build_inverter, method_of
from invertone.infer.rows import ShardInverter
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.threads import worker_threads
from invertone.models.checkpoint import load_classifier
from invertone.models.device import worker_device
from invertone.models.generator import Generator, load_generator
from invertone.models.guest_copies import for_threads
from invertone.models.networks.resnet import ResNet18


@dataclass(frozen=True)
class InversionStage:
    """Picklable: config and what the Parquet says of its making. Weights are loaded in `open`."""

    config: InferConfig
    metadata: Mapping[str, Any]

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        # A sign of life per evaluation: a batch may take an hour.
        expected = self.metadata.get("digests", {}).get("generator")
        worker, generator = open_inverter(self.config, threads, watch.beat, expected)
        method = method_of(self.config)
        terms, vectors = method.terms(self.config, generator.prior), method.vectors(self.config, generator)
        schema = latents_schema(generator.latent_size, terms, self.metadata, vectors)
        shards = Folder.at(self.config.shards)

        def process(work: Mapping[str, Any]) -> UnitResult:
            entry = ShardEntry(**work)
            rows = worker.rows(list(read_shard(shards, entry)), watch)
            failed = errors_of(rows)
            name = entry.name.removesuffix(".tar") + ".parquet"
            statistics = {"clips": len(rows), "failed": len(failed), "seconds": worker.take_seconds()}
            return UnitResult({name: parquet_bytes(rows, schema)}, statistics, failed)

        return process


def open_inverter(
    config: InferConfig, threads: int, beat: Callable[[], None] = lambda: None, expected: str | None = None
) -> tuple[ShardInverter, Generator]:
    """What inverts clips as `config` says, and its generator, with all networks loaded. `beat` is called at every evaluation.
    expected: the digest that the generator must have."""
    device = worker_device(config.device, threads)
    generator, _ = load_generator(config.generator, device, expected)
    classifier: ResNet18 | None = None
    label_names: tuple[str, ...] = ()
    if config.classifier:
        classifier, checkpoint = load_classifier(config.classifier, device)
        label_names = checkpoint.label_names
    sharing = worker_threads(device, threads)
    if sharing.count > 1:
        generator = for_threads(generator)
    inverter = build_inverter(config, generator, classifier, device, beat, sharing)
    return ShardInverter(config, inverter, classifier, device, sharing, label_names), generator
