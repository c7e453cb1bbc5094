"""What a worker does with a shard: read it, make its rows, write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from invertone.cluster.formats.latents import errors_of, latents_schema, table_bytes
from invertone.cluster.formats.shards import entry_of, read_shard
from invertone.cluster.jobs.engine import UnitResult
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.infer.build import build_inverter, method_of
from invertone.infer.rows import ShardInverter
from invertone.infer.schemas.shared import InferConfig
from invertone.infer.threads import worker_threads
from invertone.models.checkpoint import load_classifier
from invertone.models.device import worker_device
from invertone.models.generator import Generator, generator_format, load_generator
from invertone.models.guest_copies import for_threads
from invertone.models.networks.listening import SignalClassifier
from invertone.models.networks.recogniser import Recogniser


@dataclass(frozen=True)
class InversionStage:
    """Picklable: config and what the Parquet says of its making. Weights are loaded in `open`."""

    config: InferConfig
    metadata: Mapping[str, Any]

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        # A sign of life per evaluation: a batch may take an hour.
        worker, _ = open_inverter(self.config, threads, watch.beat, self.metadata)
        shards = Folder.at(self.config.shards)

        def process(work: Mapping[str, Any]) -> UnitResult:
            entry, limit = entry_of(work)
            clips = list(read_shard(shards, entry, limit))
            table = worker.table(clips, watch)
            failed = errors_of(table)
            name = entry.name.removesuffix(".tar") + ".parquet"
            statistics = {"clips": len(clips), "failed": len(failed), "seconds": worker.take_seconds()}
            return UnitResult({name: table_bytes(table)}, statistics, failed)

        return process


def open_inverter(
    config: InferConfig,
    threads: int,
    beat: Callable[[], None] = lambda: None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[ShardInverter, Generator]:
    """What inverts clips as `config` says, and its generator, with all networks loaded. `beat` is called at every evaluation.
    metadata: what the rows say of their making; the generator must have the digest that it names."""
    metadata = metadata or {}
    device = worker_device(config.device, threads)
    generator, _ = load_generator(config.generator, device, metadata.get("digests", {}).get("generator"))
    classifier: SignalClassifier | None = None
    label_names: tuple[str, ...] = ()
    if config.classifier:
        classifier, checkpoint = load_classifier(config.classifier, device)
        label_names = checkpoint.label_names
        if isinstance(classifier, Recogniser):
            classifier.one_by_one = device.type == "cpu"
    sharing = worker_threads(device, threads)
    if sharing.count > 1:
        generator = for_threads(generator)
    format, takes = generator_format(config.generator), tuple(getattr(generator, "label_names", ()))
    inverter = build_inverter(config, generator, classifier, device, beat, sharing, format)
    method = method_of(config)
    terms, vectors = method.terms(config, generator.prior, format), method.vectors(config, generator)
    labels = classifier.outputs if classifier is not None else 0
    columns, told = method.columns(config, generator), method.told(config)
    schema = latents_schema(generator.latent_size, terms, metadata, vectors, config.rows, labels, columns, format)
    worker = ShardInverter(
        config, inverter, classifier, device, schema, format, sharing, label_names, threads, takes, bool(told)
    )
    return worker, generator
