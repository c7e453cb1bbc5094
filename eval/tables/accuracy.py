"""The accuracy table: what classifiers hear that know different shares of the labels, or learnt from different clips.

One row per group of checkpoints (several seeds of the same recipe); its accuracy is the mean over them. *Chance* is the share
of the most frequent label.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest, refuse_unlike
from invertone.cluster.formats.ledger import LIMIT, Unit, first_items
from invertone.cluster.formats.shards import ShardEntry, ShardManifest, load_manifest, read_shard
from invertone.cluster.formats.signals import USUAL, SignalFormat, kind_of
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome, UnitResult, run_units
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.draws import clip_counts, key_digests
from invertone.eval.measures.estimates import Sums, add, percentile, weighted
from invertone.eval.measures.labels import unshared_labels
from invertone.eval.measures.sums import file_name, merged, packed
from invertone.eval.schemas.accuracy import AccuracyConfig
from invertone.eval.table import PUBLISHED, Cell, Column, Table, literal
from invertone.eval.tabulate import tabulate
from invertone.models.device import worker_device
from invertone.models.judges import described
from invertone.models.labeller import labeller_manifest, load_labeller
from invertone.models.signals import signal_of

COLUMNS = (
    Column("row", "Row"),
    Column("kind", "Kind"),
    Column("share", "Labels known", ".1%"),
    Column("clips", "Clips", ","),
    Column("seeds", "Seeds", ","),
    Column("accuracy", "Accuracy", ".1%", "↑"),
    Column("deviation", "SD over seeds", ".2%"),
    Column(f"accuracy{PUBLISHED}", "paper", ".2%"),
)
NOTES = (
    "Accuracy: share of labelled clips heard as their label, mean over seeds; SD: standard deviation over seeds (ddof 1).",
    "The interval is of the clips that were heard (bootstrap), not of the seeds.",
    "Labels known: the share of labels that training was allowed to see; – where the checkpoint does not say.",
)
PRINTED = "The paper's ± is over trainings, as SD over seeds: three in Haque et al., who do not say their ddof."


def plan(config: AccuracyConfig) -> list[str]:
    """What --dry-run prints."""
    manifest, units, _, _ = _inputs(config)
    number = sum(len(each) for each in config.classifiers.values())
    kind, count = kind_of(manifest.format), sum(unit.items for unit in units)
    return [f"would hear: {count:,} {kind}s of {manifest.corpus} by {number} classifiers"]


def run(name: str, config: AccuracyConfig) -> None:
    """Hears every clip with every classifier and prints the table."""
    manifest, units, checkpoints, digests = _inputs(config)

    def make(driver: Driver) -> tuple[Table, Outcome]:
        stage, what = AccuracyStage(config, manifest.format), f"eval {name}"
        outcome = run_units(driver, stage, units, what=what, settings=config, device=config.device)
        return _table(config, merged(driver.term.folder)["all"], checkpoints, manifest), outcome

    tabulate(name, config, digests, make)


def _inputs(
    config: AccuracyConfig,
) -> tuple[ShardManifest, list[Unit], dict[str, list[CheckpointManifest]], dict[str, str]]:
    """The clips, the units, the checkpoints by row, and digests; checked before anything starts."""
    manifest = load_manifest(Folder.at(config.shards))
    if not config.classifiers:
        raise UserError("no classifiers are named", fix="add classifiers.NAME=[checkpoint,…]")
    checkpoints: dict[str, list[CheckpointManifest]] = {}
    digests = {"shards": manifest.digest}
    for name, places in config.classifiers.items():
        for number, uri in enumerate(places):
            checkpoint = labeller_manifest(uri, f"classifiers.{name}")[1]
            refuse_unlike(checkpoint, f"classifiers.{name}", manifest.format, "shards", uri)
            if not set(checkpoint.label_names) & set(manifest.label_names):
                raise UserError(
                    f"classifiers.{name} and shards have no label in common", where=uri, fix="train one on such labels"
                )
            digests[f"classifiers.{name}.{number}"] = checkpoint.digest
            checkpoints.setdefault(name, []).append(checkpoint)
    chosen = manifest.of_splits(config.splits)
    if not chosen:
        raise UserError("shards hold no clips of these splits", where=config.shards, fix="choose other splits")
    units = []
    for entry in chosen:
        stem = entry.name.removesuffix(".tar")
        units.append(Unit(stem, {"unit": stem, "entry": dataclasses.asdict(entry)}, items=entry.count))
    return manifest, first_items(units, config.limit), checkpoints, digests


@dataclass(frozen=True)
class AccuracyStage:
    """Picklable; classifiers are loaded once per worker."""

    config: AccuracyConfig
    format: SignalFormat = USUAL

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.config.device, threads)
        loaded = {
            _column(name, number): load_labeller(uri, f"classifiers.{name}", device)
            for name, places in self.config.classifiers.items()
            for number, uri in enumerate(places)
        }
        shards, config, signal = Folder.at(self.config.shards), self.config, signal_of(self.format)

        def process(work: Mapping[str, Any]) -> UnitResult:
            clips = [
                clip
                for clip in read_shard(shards, ShardEntry(**work["entry"]), work.get(LIMIT))
                if clip.info.label is not None
            ]
            sums: Sums = {}
            for batch in watch.batches(clips, config.batch, lambda clip: clip.info.key):
                with watch.on([clip.info.key for clip in batch]), torch.no_grad():
                    seen = torch.from_numpy(signal.views([signal.decode(clip.data) for clip in batch])).to(device)
                    wanted = [clip.info.label_name for clip in batch]
                    values = {"clips": np.ones(len(batch))}
                    for label in set(wanted):
                        values[f"label {label}"] = np.array([each == label for each in wanted])
                    for name, (classifier, manifest) in loaded.items():
                        heard = [manifest.label_names[at] for at in classifier(seen).argmax(1).tolist()]
                        values[name] = np.array([one == other for one, other in zip(heard, wanted, strict=True)])
                    counts = clip_counts(key_digests([clip.info.key for clip in batch]), config.seed, config.bootstrap)
                    add(sums, weighted(values, counts))
            return UnitResult({file_name(work["unit"]): packed({"all": sums})}, {"clips": len(clips)})

        return process


def _others(count: int) -> str:
    return f"; and {count} more like it" if count else ""


def _column(name: str, number: int) -> str:
    return f"correct {number} {name}".replace("/", "_")


def _table(
    config: AccuracyConfig, sums: Sums, checkpoints: Mapping[str, Sequence[CheckpointManifest]], manifest: ShardManifest
) -> Table:
    clips = int(sums["clips"][0])
    rows: list[dict[str, Cell]] = []
    intervals: list[dict[str, tuple[float, float]]] = []
    for name, found in checkpoints.items():
        each = np.stack([sums[_column(name, number)] / sums["clips"] for number in range(len(found))])
        estimate = percentile(each.mean(0))
        shares = {checkpoint.data.get("guidance", {}).get("fraction") for checkpoint in found}
        rows.append(
            {
                "row": name,
                "kind": ", ".join(sorted({checkpoint.kind for checkpoint in found})),
                "share": shares.pop() if len(shares) == 1 else None,
                "clips": clips,
                "seeds": len(found),
                "accuracy": estimate.value,
                "deviation": float(np.std(each[:, 0], ddof=1)) if len(found) > 1 else None,
            }
        )
        intervals.append({"accuracy": estimate.interval} if estimate.interval else {})
    most = max(float(value[0]) for name, value in sums.items() if name.startswith("label "))
    rows.append({"row": "chance", "kind": "–", "clips": clips, "accuracy": most / clips})
    rows += [{"row": name, "kind": "paper"} for name in config.published if name not in checkpoints]
    intervals += [{} for _ in range(len(rows) - len(intervals))]
    spreads: list[dict[str, float]] = []
    for row in rows:
        theirs = config.published.get(str(row["row"]), {}).get("accuracy", [])
        row[f"accuracy{PUBLISHED}"] = theirs[0] if theirs else None
        spreads.append({f"accuracy{PUBLISHED}": theirs[1]} if len(theirs) > 1 else {})
    named = {"clips": f"{kind_of(manifest.format).capitalize()}s"}
    known = [dataclasses.replace(each, title=named.get(each.name, each.title)) for each in COLUMNS]
    columns = [column for column in known if any(row.get(column.name) is not None for row in rows)]
    about = {"corpus": manifest.corpus, "shards": config.shards, "classifiers": config.classifiers, "seed": config.seed}
    notes = [
        *config.notes,
        *(f"{literal(name)}: {described(found[0])}{_others(len(found) - 1)}." for name, found in checkpoints.items()),
        *(
            f"{literal(name)}: {each}"
            for name, found in checkpoints.items()
            for each in dict.fromkeys(
                note for checkpoint in found for note in unshared_labels(manifest.label_names, checkpoint.label_names)
            )
        ),
    ]
    notes += [
        *NOTES,
        *([PRINTED] if any(spreads) else []),
        f"Seed: {config.seed}. Intervals: {config.bootstrap} replicates.",
    ]
    splits = ", ".join(config.splits) or "all splits"
    title = config.title or f"Accuracy on {manifest.corpus}, {splits}"
    return Table(title, columns, rows, notes, about, intervals, spreads)
