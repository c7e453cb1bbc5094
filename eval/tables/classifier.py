"""The classifier table: accuracy per label on real clips, and what is taken for what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest, refuse_unlike
from invertone.cluster.formats.ledger import Unit, first_items
from invertone.cluster.formats.shards import ShardManifest, entry_of, load_manifest, read_shard
from invertone.cluster.formats.signals import SignalFormat, kind_of
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome, UnitResult, run_units
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.eval.schemas.classifier import ClassifierTableConfig
from invertone.eval.table import Column, Table, literal
from invertone.eval.tabulate import tabulate
from invertone.models.device import worker_device
from invertone.models.judges import described
from invertone.models.labeller import labeller_manifest, load_labeller
from invertone.models.signals import signal_of


def plan(config: ClassifierTableConfig) -> list[str]:
    """What --dry-run prints."""
    manifest, units, _ = _inputs(config)
    kind, count = kind_of(manifest.format), sum(unit.items for unit in units)
    return [f"would judge: {count:,} {kind}s of {manifest.corpus} in {len(units):,} shards"]


def run(name: str, config: ClassifierTableConfig) -> None:
    """Classifies every clip and prints the table."""
    manifest, units, checkpoint = _inputs(config)
    digests = {"shards": manifest.digest, "classifier": checkpoint.digest}

    def make(driver: Driver) -> tuple[Table, Outcome]:
        stage = ClassifierStage(config, len(manifest.label_names), manifest.format)
        outcome = run_units(driver, stage, units, what=f"eval {name}", settings=config, device=config.device)
        return _table(np.array(outcome.statistics["confusion"]), config, manifest, described(checkpoint)), outcome

    tabulate(name, config, digests, make)


def _inputs(config: ClassifierTableConfig) -> tuple[ShardManifest, list[Unit], CheckpointManifest]:
    """The clips, the units and the classifier, checked before anything starts."""
    manifest = load_manifest(Folder.at(config.shards))
    checkpoint = labeller_manifest(config.classifier, "classifier")[1]
    refuse_unlike(checkpoint, "classifier", manifest.format, "shards", config.classifier)
    if checkpoint.label_names != manifest.label_names:
        raise UserError(
            "classifier and shards have different labels", where=config.classifier, fix="train one on these shards"
        )
    chosen = manifest.of_splits(config.splits)
    if not chosen:
        raise UserError("shards hold no clips of these splits", where=config.shards, fix="choose other splits")
    units = [Unit(entry.name.removesuffix(".tar"), dataclasses.asdict(entry), items=entry.count) for entry in chosen]
    return manifest, first_items(units, config.limit), checkpoint


@dataclass(frozen=True)
class ClassifierStage:
    """Counts, for each true label, how often each label was predicted."""

    config: ClassifierTableConfig
    labels: int
    format: SignalFormat

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.config.device, threads)
        classifier, _ = load_labeller(self.config.classifier, "classifier", device)
        shards = Folder.at(self.config.shards)
        labels, size, signal = self.labels, self.config.batch, signal_of(self.format)

        def process(work: Mapping[str, Any]) -> UnitResult:
            clips = [clip for clip in read_shard(shards, *entry_of(work)) if clip.info.label is not None]
            confusion = np.zeros((labels, labels), np.int64)
            for part in watch.batches(clips, size, lambda clip: clip.info.key):
                with watch.on([clip.info.key for clip in part]), torch.no_grad():
                    seen = torch.from_numpy(signal.views([signal.decode(clip.data) for clip in part])).to(device)
                    predicted = classifier(seen).argmax(1).cpu().numpy()
                np.add.at(confusion, (np.array([clip.info.label for clip in part]), predicted), 1)
            return UnitResult(statistics={"confusion": confusion.tolist()})

        return process


def _table(confusion: np.ndarray, config: ClassifierTableConfig, manifest: ShardManifest, judge: str) -> Table:
    rows: list[dict[str, Any]] = []
    for label, name in enumerate(manifest.label_names):
        counts = confusion[label]
        if counts.sum():
            wrong = [(int(counts[i]), manifest.label_names[i]) for i in np.argsort(-counts) if i != label and counts[i]]
            taken = ", ".join(f"{other} ({count})" for count, other in wrong[:3]) or "–"
            rows.append(
                {"label": name, "clips": int(counts.sum()), "accuracy": counts[label] / counts.sum(), "confused": taken}
            )
    total = int(confusion.sum())
    rows.append(
        {"label": "all", "clips": total, "accuracy": float(np.trace(confusion) / max(total, 1)), "confused": "–"}
    )
    columns = (
        Column("label", "Label"),
        Column("clips", f"{kind_of(manifest.format).capitalize()}s", ","),
        Column("accuracy", "Accuracy", ".1%", "↑"),
        Column("confused", "Taken for"),
    )
    splits = ", ".join(config.splits) or "all splits"
    about = {"shards": config.shards, "classifier": config.classifier, "judge": judge, "confusion": confusion.tolist()}
    title = f"Classifier on {manifest.corpus}, {splits}"
    return Table(title, columns, rows, (f"Heard by: {literal(judge)}.",), about)
