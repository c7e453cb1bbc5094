"""The reconstruction table: how near reconstructions come to their clips, beside what doing nothing scores.

Rows: one per inference run; *real* (the clip itself: what the measures say of perfection), *silence*, and *random latent*
(a reconstruction that knows nothing of the clip). A method that does not beat the last two has recovered nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from audio.clip import decode, to_float, to_int16
from cluster.driver import driving
from cluster.engine import Outcome, UnitResult, run_units
from cluster.errors import UserError
from cluster.ledger import Ledger, Output, Unit
from cluster.runs import SUMMARY, open_run
from cluster.shards import ShardEntry, ShardManifest, load_manifest, read_shard
from cluster.storage import Folder, content_digest
from cluster.tables import OK, committed_parts, described, read_part
from cluster.watch import Watch
from eval.config import ReconstructionConfig
from eval.table import Cell, Column, Table
from models.checkpoint import folder_of, load_classifier
from models.device import worker_device
from models.generator import Generator, check_generator, load_generator
from models.prior import seeded
from models.resnet import ResNet18
from models.scores import score

BASELINES = ("real", "silence", "random latent")
COLUMNS = (
    Column("row", "Row"),
    Column("clips", "Clips", ","),
    Column("failed", "Failed", ","),
    Column("accuracy", "Accuracy", ".1%", "↑"),
    Column("feature_distance", "Feature distance", ".4f", "↓"),
    Column("ssim", "SSIM", ".4f", "↑"),
    Column("spectrogram_mae", "Spectrogram MAE", ".4f", "↓"),
    Column("waveform_mse", "Waveform MSE", ".5f", "↓"),
    Column("explained_variance", "Explained variance", ".3f", "↑"),
)
NOTES = (
    "Accuracy: share of labelled clips whose reconstruction the classifier hears as the label. Feature distance: mean squared "
    "difference of the classifier's block activations.",
    "SSIM and MAE are of log-magnitude spectrograms (512/128, 87 dB below full scale, scaled to [-1, 1]).",
    "Explained variance is of waveforms, pooled over clips: 1 - sum of residual variances / sum of clip variances.",
    "Waveform measures reward silence: read them against the row *silence*.",
)


@dataclass(frozen=True)
class _Job:
    """Where everything lies, after the defaults that the Parquet records were filled in."""

    runs: tuple[tuple[str, str], ...]
    shards: str
    generator: str
    classifier: str | None
    seed: int
    batch: int
    device: str


def plan(config: ReconstructionConfig) -> list[str]:
    """What --dry-run prints."""
    job, manifest = _resolve(config)
    units = _units(config, job, manifest)
    names = ", ".join(name for name, _ in job.runs)
    return [f"would judge: {sum(unit.items for unit in units):,} rows of {names} in {len(units):,} Parquet files"]


def run(name: str, config: ReconstructionConfig) -> None:
    """Judges every row and prints the table."""
    job, manifest = _resolve(config)
    digests = {f"latents.{label}": content_digest(committed_parts(Folder.at(uri))) for label, uri in job.runs}
    digests["shards"] = manifest.digest
    digests["generator"] = check_generator(job.generator)
    if job.classifier:
        digests["classifier"] = folder_of(job.classifier, "classifier", "classifier")[1].digest
    folder = open_run("eval", name, config, digests)
    units = _units(config, job, manifest)
    stage, what = ReconstructionStage(job), f"eval {name}"
    with driving(folder) as driver:
        outcome = run_units(driver, stage, units, what=what, items="rows", settings=config, device=config.device)
        table = _table(job, outcome, manifest)
        table.publish(folder)
        folder.publish_json(SUMMARY, outcome.summary())
    print(table.markdown())
    print(folder.path_of("table.md"))
    outcome.check()


def _resolve(config: ReconstructionConfig) -> tuple[_Job, ShardManifest]:
    about = [described(Folder.at(uri)) for uri in config.latents]
    recorded = about[0]["inputs"]
    shards = config.shards or recorded["shards"]
    manifest = load_manifest(Folder.at(shards))
    for uri, each in zip(config.latents, about, strict=True):
        if each["digests"]["shards"] != manifest.digest:
            raise UserError(
                "latents were made from other shards",
                where=uri,
                fix=f"give the shards they were made from, not {shards}",
            )
        _check_complete(Folder.at(uri))
    names = [each["method"] for each in about]
    labels = [
        name if names.count(name) == 1 else f"{name} ({uri.rsplit('/', 1)[-1]})"
        for name, uri in zip(names, config.latents, strict=True)
    ]
    classifier = config.classifier or recorded.get("classifier")
    generator = config.generator or recorded["generator"]
    runs = tuple(zip(labels, config.latents, strict=True))
    return _Job(runs, shards, generator, classifier, config.seed, config.batch, config.device), manifest


def _check_complete(folder: Folder) -> None:
    """A table of half an inference run would look like one of the whole."""
    ledger = Ledger(folder)
    planned, done = (ledger.plan() or {})["units"], len(ledger.done())
    if done < planned:
        raise UserError(
            f"only {done} of {planned} units are inferred", where=folder.uri, fix="finish `invertone infer` first"
        )


def _units(config: ReconstructionConfig, job: _Job, manifest: ShardManifest) -> list[Unit]:
    """One per Parquet file. Baselines are judged once, beside the first run."""
    entries = {entry.name: entry for entry in manifest.of_splits(config.splits)}
    units = []
    for number, (label, uri) in enumerate(job.runs):
        for part in committed_parts(Folder.at(uri)):
            stem = part.name.removesuffix(".parquet")
            entry = entries.get(f"{stem}.tar")
            if entry is not None:
                work = {"row": label, "latents": uri, "baselines": number == 0}
                work |= {"part": dataclasses.asdict(part), "shard": dataclasses.asdict(entry)}
                units.append(Unit(f"{number:02d}-{stem}", work, items=entry.count))
    if not units:
        raise UserError("no rows of these splits", where=config.latents[0], fix="choose other splits")
    return units


@dataclass(frozen=True)
class ReconstructionStage:
    """Picklable; models are loaded once per worker."""

    job: _Job

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.job.device, threads)
        judge = _Judge(
            load_generator(self.job.generator, device)[0],
            load_classifier(self.job.classifier, device)[0] if self.job.classifier else None,
            device,
            self.job.seed,
        )
        shards = Folder.at(self.job.shards)

        def process(work: Mapping[str, Any]) -> UnitResult:
            clips = {clip.info.key: clip.audio for clip in read_shard(shards, ShardEntry(**work["shard"]))}
            rows = read_part(Folder.at(work["latents"]), Output(**work["part"])).to_pylist()
            sums: dict[str, dict[str, float]] = {}
            for batch in watch.batches(rows, self.job.batch, lambda row: row["key"]):
                with watch.on([row["key"] for row in batch]):
                    for row, part in judge.judged(batch, clips, work["row"], work["baselines"]):
                        into = sums.setdefault(row, dict.fromkeys(part, 0.0))
                        for name, value in part.items():
                            into[name] += value
            lost = sum(row["key"] in watch.excluded for row in rows)
            if lost:  # they count as failed, as a clip does whose inversion failed
                into = sums.setdefault(work["row"], dict.fromkeys(("failed", *_ZERO), 0.0))
                into["failed"] += lost
            return UnitResult(statistics={"rows": sums})

        return process


@dataclass(frozen=True)
class _Judge:
    generator: Generator
    classifier: ResNet18 | None
    device: torch.device
    seed: int

    def judged(
        self, rows: Sequence[Mapping[str, Any]], clips: Mapping[str, bytes], name: str, baselines: bool
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Sums over a batch, by table row."""
        good = [row for row in rows if row["status"] == OK]
        if good:
            target = self._stack([to_float(decode(clips[row["key"]])) for row in good])
            yield name, self._sums(target, self._reconstructed(good), good)
        yield name, {"failed": float(len(rows) - len(good)), **dict.fromkeys(_ZERO, 0.0)}
        if baselines:
            target = self._stack([to_float(decode(clips[row["key"]])) for row in rows])
            yield "real", self._sums(target, target, rows)
            yield "silence", self._sums(target, torch.zeros_like(target), rows)
            yield "random latent", self._sums(target, self._random([row["key"] for row in rows]), rows)

    def _reconstructed(self, rows: Sequence[Mapping[str, Any]]) -> Float[Tensor, "b n"]:
        """As written beside the latents, else made again from them."""
        if all(row["reconstruction"] is not None for row in rows):
            return self._stack([to_float(decode(row["reconstruction"]["bytes"])) for row in rows])
        return self._generated(torch.tensor(np.array([row["latent"] for row in rows], dtype=np.float32)))

    def _random(self, keys: Sequence[str]) -> Float[Tensor, "b n"]:
        """A latent from the prior for each clip, decided by seed and key, so that batches and units do not matter."""
        prior, size = self.generator.prior, self.generator.latent_size
        draws = [prior.sample(1, size, seeded(self.seed, "random latent", key)) for key in keys]
        return self._generated(torch.cat(draws))

    @torch.no_grad()
    def _generated(self, latents: Float[Tensor, "b z"]) -> Float[Tensor, "b n"]:
        waveform = self.generator(latents.to(self.device)).float().cpu().numpy()
        return self._stack([to_float(to_int16(each)[0]) for each in waveform])

    def _stack(self, waveforms: Sequence[np.ndarray]) -> Float[Tensor, "b n"]:
        return torch.from_numpy(np.stack(waveforms)).to(self.device)

    def _sums(self, target: Tensor, reconstruction: Tensor, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        scores = score(target, reconstruction, self.classifier)
        sums = {
            "clips": float(len(rows)),
            "failed": 0.0,
            "waveform_mse": _sum(scores.waveform_mse),
            "spectrogram_mae": _sum(scores.spectrogram_mae),
            "ssim": _sum(scores.ssim),
            "residual_variance": _sum((target - reconstruction).double().var(dim=1, correction=0)),
            "clip_variance": _sum(target.double().var(dim=1, correction=0)),
            "labelled": 0.0,
            "correct": 0.0,
            "feature_distance": 0.0,
        }
        if scores.predicted_label is not None and scores.feature_distance is not None:
            labels = [row["label"] for row in rows]
            predicted = scores.predicted_label.tolist()
            sums["labelled"] = float(sum(label is not None for label in labels))
            sums["correct"] = float(sum(a == b for a, b in zip(labels, predicted, strict=True) if a is not None))
            sums["feature_distance"] = _sum(scores.feature_distance)
        return sums


_ZERO = (
    "clips", "waveform_mse", "spectrogram_mae", "ssim", "residual_variance", "clip_variance", "labelled", "correct",
    "feature_distance",
)  # fmt: skip


def _sum(values: Tensor) -> float:
    return float(values.double().sum())


def _table(job: _Job, outcome: Outcome, manifest: ShardManifest) -> Table:
    sums = outcome.statistics["rows"]
    ordered = [name for name, _ in job.runs] + list(BASELINES)
    rows = [_row(name, sums[name], job.classifier is not None) for name in ordered if name in sums]
    about = {
        "corpus": manifest.corpus,
        "latents": [uri for _, uri in job.runs],
        "shards": job.shards,
        "generator": job.generator,
        "classifier": job.classifier,
        "seed": job.seed,
    }
    return Table(f"Reconstruction of {manifest.corpus}", COLUMNS, rows, NOTES, about)


def _row(name: str, sums: Mapping[str, float], classified: bool) -> dict[str, Cell]:
    clips = sums["clips"]
    mean = {
        key: sums[key] / clips if clips else None
        for key in ("waveform_mse", "spectrogram_mae", "ssim", "feature_distance")
    }
    if not classified:
        mean["feature_distance"] = None
    variance = sums["clip_variance"]
    return {
        "row": name,
        "clips": int(clips),
        "failed": int(sums["failed"]),
        **mean,
        "accuracy": sums["correct"] / sums["labelled"] if sums["labelled"] else None,
        "explained_variance": 1.0 - sums["residual_variance"] / variance if variance else None,
    }
