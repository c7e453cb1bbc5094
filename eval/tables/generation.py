"""The generation table: how good and how various generated clips are, beside real clips, silence and noise.

Rows: one per generator (its shards, by `invertone generate`: decoded random latents), or per group of its trainings, whose
figures are means over them; *real* (clips that the reference does not hold: what perfection scores), or a row per split of real
clips, as the papers' train and test data; *silence*, and *noise* (white, each as loud as a real clip). Reference of Fréchet
distances are real clips of other splits. Of pictures *mean face* stands in place of silence, and noise is of each one's own
brightness and contrast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import refuse_unlike
from invertone.cluster.formats.ledger import LIMIT, Unit, first_items
from invertone.cluster.formats.shards import Clip, ShardEntry, ShardManifest, load_manifest, read_shard
from invertone.cluster.formats.signals import USUAL, ClipFormat, PictureFormat, SignalFormat, kind_of, refuse_others
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome, UnitResult, run_units
from invertone.cluster.jobs.watch import Watch
from invertone.cluster.storage.folder import Folder
from invertone.eval.measures.columns import estimates, table_of
from invertone.eval.measures.comparing import MEAN_FACE, comparing
from invertone.eval.measures.draws import key_digests
from invertone.eval.measures.estimates import Estimate, Sums, add, over_trainings, weighted
from invertone.eval.measures.heard_by import with_judge
from invertone.eval.measures.labels import UNKNOWN, label_numbers, unshared_labels, wanted_labels
from invertone.eval.measures.listener import Sampling
from invertone.eval.measures.sums import file_name, merged, packed
from invertone.eval.schemas.generation import GenerationConfig
from invertone.eval.table import Table, literal
from invertone.eval.tables.mean_face import mean_face, splits_of_mean
from invertone.eval.tabulate import tabulate
from invertone.models.checkpoint import folder_of, load_classifier
from invertone.models.device import worker_device
from invertone.models.networks.listening import SignalClassifier
from invertone.models.prior import seeded
from invertone.models.scores import hear
from invertone.models.signals import Values, signal_of

REFERENCE, REAL = "reference", "real"
BASELINE = "baseline"
"""In a unit's work: whether silence and noise are judged beside its clips; where it does not say, beside those of *real*."""
SPREAD = "inception_spread"
SILENCE, NOISE = "silence", "noise"
BASELINES = {"clip": (SILENCE, NOISE), "picture": (MEAN_FACE, NOISE)}
"""Rows that know nothing of what is generated, by the kind of signals."""


def plan(config: GenerationConfig) -> list[str]:
    """What --dry-run prints."""
    manifest, units, _, _ = _inputs(config)
    kind = kind_of(manifest.format)
    rows = ", ".join([*config.generated, *_real_rows(config), *BASELINES[kind]])
    does, count = "hear" if kind == "clip" else "see", sum(unit.items for unit in units)
    return [f"would {does}: {count:,} {kind}s for the rows {rows}, beside {manifest.corpus}"]


def run(name: str, config: GenerationConfig) -> None:
    """Hears every clip and prints the table."""
    manifest, units, digests, remarks = _inputs(config)

    def make(driver: Driver) -> tuple[Table, Outcome]:
        what, blank = f"eval {name}", None
        if isinstance(manifest.format, PictureFormat):
            blank = mean_face(driver, what, config.shards, manifest, config)
        stage = GenerationStage(config, manifest.format, blank)
        items = f"{kind_of(manifest.format)}s"
        outcome = run_units(driver, stage, units, what=what, items=items, settings=config, device=config.device)
        return _table(config, driver.term.folder, manifest, remarks), outcome

    tabulate(name, config, digests, make)


def _inputs(config: GenerationConfig) -> tuple[ShardManifest, list[Unit], dict[str, str], list[str]]:
    """The real clips, the units, digests of all that is read, and what is to be said; checked before anything starts."""
    manifest = load_manifest(Folder.at(config.shards))
    classifier = folder_of(config.classifier, "classifier", "classifier")[1]
    refuse_unlike(classifier, "classifier", manifest.format, "shards", config.classifier)
    if not config.generated:
        raise UserError("no generated clips are named", fix="add generated.NAME=… (shards by `invertone generate`)")
    real = _real_rows(config)
    _check_splits(config)
    digests = {"shards": manifest.digest, "classifier": classifier.digest}
    units = _units("reference", REFERENCE, config.shards, manifest, config.reference, config.limit)
    for row, splits in real.items():
        if not _is_reference(config, splits):
            also = {BASELINE: splits[0] in _judged(config)} if config.real else {}
            prefix = "-".join(["real", *splits]) if config.real else "real"
            units += _units(prefix, row, config.shards, manifest, splits, config.limit, also)
    remarks = [
        f"{REAL}: {each}"
        for each in unshared_labels(manifest.label_names, classifier.label_names, kind_of(manifest.format))
    ]
    for number, (name, places) in enumerate(config.generated.items()):
        if name in (REFERENCE, REAL, *real, *BASELINES[kind_of(manifest.format)]) or "/" in name:
            raise UserError(f"generated: no row may be called {name!r}", fix="call it something else")
        if not places:
            raise UserError(f"generated.{name} names no shards", fix=f"write generated.{name}=shards")
        said: dict[str, None] = {}
        for training, uri in enumerate(places):
            made = load_manifest(Folder.at(uri))
            refuse_others(made.format, f"generated.{name}", manifest.format, "shards", uri, "is of")
            if made.digest in (digests.get(f"generated.{_sums_of(name, before)}") for before in range(training)):
                raise UserError(
                    f"generated.{name} names the same clips twice", where=uri, fix="give each training once"
                )
            digests[f"generated.{_sums_of(name, training)}"] = made.digest
            prefix = f"{number:02d}.{training}" if training else f"{number:02d}"
            units += _units(prefix, _sums_of(name, training), uri, made, [], config.limit)
            said |= dict.fromkeys(unshared_labels(made.label_names, classifier.label_names, kind_of(made.format)))
        remarks += [f"{literal(name)}: {each}" for each in said]
    return manifest, units, digests, remarks


def _judged(config: GenerationConfig) -> list[str]:
    return config.splits or ["test"]


def _real_rows(config: GenerationConfig) -> dict[str, list[str]]:
    """The splits that each row of real clips is of."""
    return {f"{REAL} ({split})": [split] for split in config.real} or {REAL: _judged(config)}


def _check_splits(config: GenerationConfig) -> None:
    """One row of real clips is of others than the reference; of several, those of the reference have no Fréchet distance."""
    if config.real:
        unnamed = [split for split in _judged(config) if split not in config.real]
        if unnamed:
            raise UserError(
                f"split {', '.join(unnamed)} is judged, and no row of real",
                fix="name it in real, or choose other splits",
            )
        return
    shared = sorted(set(_judged(config)) & set(config.reference))
    if shared:
        raise UserError(
            f"split {', '.join(shared)} is both judged and reference",
            where=config.shards,
            fix="choose other splits or another reference, or name splits that get a row each, as real=[train,test]",
        )


def _is_reference(config: GenerationConfig, splits: list[str]) -> bool:
    """Whether a row's clips are those of the reference, which are heard anyway, and not silenced besides."""
    return bool(config.real) and splits == config.reference and splits[0] not in _judged(config)


def _sums_of(name: str, training: int) -> str:
    """What the sums of one training of a row are kept under: no row has a slash."""
    return f"{name}/{training}" if training else name


def _units(
    prefix: str,
    row: str,
    shards: str,
    manifest: ShardManifest,
    splits: list[str],
    limit: int,
    also: Mapping[str, bool] | None = None,
) -> list[Unit]:
    """The clips of a row, the first `limit` of them (0: all). also: what their work says besides."""
    chosen = manifest.of_splits(splits)
    if not chosen:
        raise UserError(f"no clips for the row {row}", where=shards, fix="choose other splits")
    units = []
    for entry in chosen:
        name = f"{prefix}-{entry.name.removesuffix('.tar')}"
        work = {"unit": name, "row": row, "shards": shards, "entry": dataclasses.asdict(entry), **(also or {})}
        units.append(Unit(name, work, items=entry.count))
    return first_items(units, limit)


@dataclass(frozen=True)
class GenerationStage:
    """Picklable; the classifier is loaded once per worker. format: of all signals. blank: the mean face, of pictures."""

    config: GenerationConfig
    format: SignalFormat = USUAL
    blank: Values | None = None

    def open(self, threads: int, watch: Watch) -> Callable[[Mapping[str, Any]], UnitResult]:
        device = worker_device(self.config.device, threads)
        classifier, manifest = load_classifier(self.config.classifier, device)
        sampling = Sampling(self.config.seed, self.config.bootstrap, self.config.groups)
        labels = label_numbers(manifest.label_names)
        signal, by_label = signal_of(self.format), comparing(self.format).by_label

        def nothing(like: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
            if self.blank is None:
                return torch.zeros_like(like)
            return torch.from_numpy(signal.views([self.blank])).expand_as(like)

        def process(work: Mapping[str, Any]) -> UnitResult:
            clips = list(read_shard(Folder.at(work["shards"]), ShardEntry(**work["entry"]), work.get(LIMIT)))
            sums: dict[str, Sums] = {work["row"]: {}}
            for batch in watch.batches(clips, self.config.batch, lambda clip: clip.info.key):
                with watch.on([clip.info.key for clip in batch]):
                    given = torch.from_numpy(signal.views([signal.decode(clip.data) for clip in batch]))
                    signals = {work["row"]: given}
                    if work.get(BASELINE, work["row"] == REAL):
                        blank, noise = BASELINES[kind_of(self.format)]
                        signals |= {blank: nothing(given), noise: self.noise_like(given, batch)}
                    for row, each in signals.items():
                        part = heard_sums(classifier, each.to(device), batch, labels, sampling, by_label)
                        add(sums.setdefault(row, {}), part)
            lost = sum(clip.info.key in watch.excluded for clip in clips)
            add(sums[work["row"]], {"failed": np.array([float(lost)])})
            return UnitResult({file_name(work["unit"]): packed(sums)}, {"clips": len(clips)})

        return process

    def noise_like(self, signal: Float[Tensor, "b ..."], clips: Sequence[Clip]) -> Float[Tensor, "b ..."]:
        """White noise in place of each clip or picture."""
        return (noise_like if isinstance(self.format, ClipFormat) else specks_like)(signal, clips, self.config.seed)


def noise_like(waveform: Float[Tensor, "b *c n"], clips: Sequence[Clip], seed: int) -> Float[Tensor, "b *c n"]:
    """White Gaussian noise of each clip's RMS, of each channel its own, decided by seed and key, within full scale."""
    draws = [torch.randn(waveform.shape[1:], generator=seeded(seed, "noise", clip.info.key)) for clip in clips]
    return (torch.stack(draws) * waveform.square().mean(-1, keepdim=True).sqrt()).clamp(-1, 1)


def specks_like(picture: Float[Tensor, "b 3 h w"], clips: Sequence[Clip], seed: int) -> Float[Tensor, "b 3 h w"]:
    """White Gaussian noise of each picture's mean and standard deviation, of each colour its own, decided by seed and key,
    within black and white."""
    draws = [torch.randn(picture.shape[1:], generator=seeded(seed, "noise", clip.info.key)) for clip in clips]
    spread, mean = torch.std_mean(picture, (-2, -1), correction=0, keepdim=True)
    return (torch.stack(draws) * spread + mean).clamp(-1, 1)


def heard_sums(
    classifier: SignalClassifier,
    signal: torch.Tensor,
    clips: list[Clip],
    labels: Mapping[str, int],
    sampling: Sampling,
    by_label: bool = True,
) -> Sums:
    """What the classifier makes of a batch. by_label: see `Comparing`."""
    digests = key_digests([clip.info.key for clip in clips])
    counts, heard = sampling.counts(digests), hear(classifier, signal)
    of = sampling.sums if by_label else sampling.embedding_sums
    values = {"clips": np.ones(len(clips))}
    if heard.logits.shape[1]:
        wanted = wanted_labels(clips, labels)
        values |= {
            "named": np.array([clip.info.label_name is not None for clip in clips]),
            "labelled": wanted != UNKNOWN,
            "correct": (wanted != UNKNOWN) & (heard.logits.argmax(1).cpu().numpy() == wanted),
        }
    return weighted(values, counts) | of(heard, digests, counts)


def _count(sums: Sums, name: str) -> float:
    return float(sums[name][0]) if name in sums else 0.0


def _table(config: GenerationConfig, folder: Folder, manifest: ShardManifest, remarks: Sequence[str]) -> Table:
    sums = merged(folder)
    repeated = any(len(places) > 1 for places in config.generated.values())
    rows: dict[str, dict[str, Estimate]] = {}
    for name, places in config.generated.items():
        each = [sums[_sums_of(name, training)] for training in range(len(places))]
        counts = {
            "clips": round(float(np.mean([_count(found, "clips") for found in each]))),
            "failed": sum(_count(found, "failed") for found in each),
            **({"trainings": len(each)} if repeated else {}),
        }
        rows[name] = over_trainings([estimates(found, sums[REFERENCE]) for found in each])
        rows[name] |= {key: Estimate(float(value)) for key, value in counts.items()}
        if len(each) > 1 and SPREAD in rows[name]:
            rows[name][SPREAD] = Estimate(rows[name][SPREAD].value)
    real = _real_rows(config)
    kind = kind_of(manifest.format)
    for name in [*real, *BASELINES[kind]]:
        splits = real.get(name, [])
        found = sums[REFERENCE if _is_reference(config, splits) else name]
        rows[name] = {key: Estimate(_count(found, key)) for key in ("clips", "failed")}
        rows[name] |= estimates(found, None if set(splits) & set(config.reference) else sums[REFERENCE])
    about = {
        "corpus": manifest.corpus,
        "shards": config.shards,
        "generated": config.generated,
        "classifier": config.classifier,
        "reference": config.reference,
        "reference_clips": int(sums[REFERENCE]["clips"][0]),
    }
    remarks = list(remarks)
    if kind == "picture":
        of_mean = " and ".join(splits_of_mean(manifest)) or "all splits"
        remarks.append(f"{MEAN_FACE}: the mean over the pictures of {of_mean} in the shards.")
    title = f"{kind.capitalize()}s generated after {manifest.corpus}"
    table = table_of(config, title, rows, {}, about, remarks, kind)
    return with_judge(table, config, config.classifier, kind)
