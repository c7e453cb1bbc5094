"""The reconstruction table: how near reconstructions come to their clips or pictures, beside what doing nothing scores.

Rows: one per inference run; *real* (the clip itself: what the measures say of perfection), *silence* (of pictures *mean face*,
the mean over those of the training split), and *random latent* (a reconstruction that knows nothing of the clip). A method
that does not beat the last two has recovered nothing. All rows are over the same clips, those that every run has a result
for; the last two over a sample of them.

Where inference's rows hold every measure that is asked for, the table is made of them, and nothing but that sample is heard.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import refuse_unlike
from invertone.cluster.formats.latents import AHEAD, committed_rows, described
from invertone.cluster.formats.ledger import Output, Unit, first_items
from invertone.cluster.formats.runs import RUN, SUMMARY, recorded
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.formats.signals import PictureFormat, SignalFormat, kind_of, refuse_others
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome, run_units
from invertone.cluster.storage.folder import Folder, content_digest
from invertone.cluster.storage.layout import laid_out
from invertone.cluster.storage.parquet import parquet_schema
from invertone.eval.latents.inference_runs import check_run, labels_of
from invertone.eval.measures.columns import estimates, table_of
from invertone.eval.measures.comparing import RANDOM, REAL, comparing
from invertone.eval.measures.estimates import Estimate
from invertone.eval.measures.heard_by import with_judge
from invertone.eval.measures.labels import unshared_labels
from invertone.eval.measures.listener import Sampling
from invertone.eval.measures.sums import merged
from invertone.eval.schemas.measures import MEASURES
from invertone.eval.schemas.reconstruction import ReconstructionConfig
from invertone.eval.table import Table, literal
from invertone.eval.tables.judge import Run
from invertone.eval.tables.judge_stage import Job, ReconstructionStage
from invertone.eval.tables.judged_rows import held
from invertone.eval.tables.mean_face import mean_face, splits_of_mean
from invertone.eval.tabulate import tabulate
from invertone.models.checkpoint import folder_of
from invertone.models.generator import check_generator, generator_digest, generator_format

ROWS_PER_UNIT = 16_384
"""From so many rows on a unit that reads them is full: half a second's work."""
_SEEN = {"clip": "sound", "picture": "pixels"}
FROM_ROWS = "from rows"
"""What the fingerprint says of sums that hold no more than rows do."""
Parts = Mapping[str, Mapping[str, tuple[Output, int]]]
"""The Parquet files of each run, with their rows, by its row's label and by the name that they share with their shard."""


def plan(config: ReconstructionConfig) -> list[str]:
    """What --dry-run prints."""
    job, manifest, parts = _resolve(config)
    shards = _shards(config, parts, manifest)
    names, how = ", ".join(run.label for run in job.runs), "rows" if job.from_rows else _SEEN[kind_of(job.format)]
    clips = sum(each.items for each in shards)
    return [f"would judge: {names} on {clips:,} {kind_of(job.format)}s in {len(shards):,} shards, by their {how}"]


def run(name: str, config: ReconstructionConfig) -> None:
    """Judges every row and prints the table."""
    job, manifest, parts = _resolve(config)
    digests = {f"latents.{label}": content_digest(part for part, _ in found.values()) for label, found in parts.items()}
    digests["shards"] = manifest.digest
    if job.from_rows:
        digests["judged"] = FROM_ROWS
    digests["generator"] = check_generator(job.generator)
    if job.classifier:
        digests["classifier"] = folder_of(job.classifier, "classifier", "classifier")[1].digest
    units = _units(job, _shards(config, parts, manifest))

    def make(driver: Driver) -> tuple[Table, Outcome]:
        made, what = job, f"eval {name}"
        if isinstance(job.format, PictureFormat):
            made = dataclasses.replace(job, blank=mean_face(driver, what, job.shards, manifest, config))
        stage = ReconstructionStage(made)
        items = f"{kind_of(job.format)}s"
        outcome = run_units(driver, stage, units, what=what, items=items, settings=config, device=config.device)
        return _table(config, job, driver.term.folder, manifest, parts), outcome

    tabulate(name, config, digests, make)


def _resolve(config: ReconstructionConfig) -> tuple[Job, ShardManifest, Parts]:
    committed = {uri: committed_rows(Folder.at(uri)) for uri in config.latents}
    about = [described(Folder.at(uri), list(committed[uri])) for uri in config.latents]
    recorded = about[0]["inputs"]
    shards = config.shards or recorded["shards"]
    manifest = load_manifest(Folder.at(shards))
    for uri, each in zip(config.latents, about, strict=True):
        check_run(uri, each, manifest, shards)
    classifier = config.classifier or recorded.get("classifier")
    generator = config.generator or recorded["generator"]
    refuse_others(generator_format(generator), "generator", manifest.format, "shards", generator)
    if classifier:
        heard = folder_of(classifier, "classifier", "classifier")[1]
        refuse_unlike(heard, "classifier", manifest.format, "shards", classifier)
    made_by = manifest.extra.get("digests", {}).get("generator", "")
    runs = tuple(
        Run(label, uri, each["digests"]["generator"] == made_by, each["method"])
        for label, uri, each in zip(labels_of(config.latents, about), config.latents, about, strict=True)
    )
    known = generator_digest(generator) == made_by
    parts = {
        run.label: {part.name.removesuffix(".parquet"): (part, rows) for part, rows in committed[run.uri].items()}
        for run in runs
    }
    total = sum(each.items for each in _shards(config, parts, manifest))
    sampling = Sampling(config.seed, config.bootstrap, config.groups, min(1.0, config.sample / total))
    first = {uri: next(iter(found)) for uri, found in committed.items()}
    from_rows = _from_rows(config, about, first, classifier, manifest.format)
    if not from_rows:
        _check_made_by(generator, config.latents, about, first)
    settings = sampling, config.batch, config.device, from_rows
    job = Job(runs, shards, generator, known, classifier, *settings, manifest.format)
    return job, manifest, parts


def _check_made_by(
    generator: str, uris: Sequence[str], about: Sequence[Mapping[str, Any]], first: Mapping[str, Output]
) -> None:
    """What rows do not hold the sound of is made again by `generator`, which must be the one that was inverted."""
    digest = generator_digest(generator)
    for uri, each in zip(uris, about, strict=True):
        if each["digests"]["generator"] != digest:
            with Folder.at(uri).open(first[uri].name, AHEAD) as file:
                if "reconstruction" not in parquet_schema(file).names:
                    raise UserError(
                        f"reconstructions would have to be made again, and {generator} is not the generator of these latents",
                        where=uri,
                        fix="infer with rows=reconstructions, or make a table of each generator",
                    )


def _from_rows(
    config: ReconstructionConfig,
    about: Sequence[Mapping[str, Any]],
    first: Mapping[str, Output],
    classifier: str | None,
    format: SignalFormat,
) -> bool:
    """Whether the rows of every run hold all that is asked for, as this classifier heard it. Sums that were begun from sound
    are gone on with: they hold everything. first: a Parquet file of each run."""
    there = [each for each in MEASURES if each.of(kind_of(format))]
    asked = [each for each in there if each.name in config.columns] if config.columns else there
    if any(each.per_clip for each in asked) or (config.columns and any(each.needs_sound for each in asked)):
        return False
    heard_by = folder_of(classifier, "classifier", "classifier")[1].digest if classifier else None
    if heard_by and any(each["digests"].get("classifier") != heard_by for each in about):
        return False
    for uri, part in first.items():
        with Folder.at(uri).open(part.name, AHEAD) as file:
            if not held(parquet_schema(file), heard_by is not None, comparing(format)):
                return False
    begun = laid_out(Folder.at(config.out))
    return not begun.exists(RUN) or "input.judged" in recorded(begun).get("fingerprint", {})


def _shards(config: ReconstructionConfig, parts: Parts, manifest: ShardManifest) -> list[Unit]:
    """One per shard of which every run has a Parquet file."""
    units = []
    for entry in manifest.of_splits(config.splits):
        stem = entry.name.removesuffix(".tar")
        if all(stem in found for found in parts.values()):
            work = {"unit": stem, "shard": dataclasses.asdict(entry)}
            work["parts"] = {label: dataclasses.asdict(found[stem][0]) for label, found in parts.items()}
            units.append(Unit(stem, work, items=entry.count))
    if not units:
        what = "no shard is in all runs" if len(parts) > 1 else "no rows"
        raise UserError(f"{what} of these splits", where=", ".join(config.latents), fix="choose other splits or runs")
    return first_items(units, config.limit)


def _units(job: Job, shards: Sequence[Unit]) -> list[Unit]:
    """A shard each; where rows are read, so many shards that a unit takes longer than its bookkeeping."""
    if not job.from_rows:
        return list(shards)
    units, together = list[Unit](), list[Unit]()
    for shard in shards:
        together.append(shard)
        if sum(each.items for each in together) >= ROWS_PER_UNIT or shard is shards[-1]:
            work = {"unit": together[0].name, "shards": [each.work for each in together]}
            units.append(Unit(together[0].name, work, items=sum(each.items for each in together)))
            together = []
    return units


def _rows_of(parts: Parts, manifest: ShardManifest, splits: Sequence[str]) -> dict[str, int]:
    """How many rows each run has of these splits, whether or not the others have the same clips."""
    stems = {entry.name.removesuffix(".tar") for entry in manifest.of_splits(splits)}
    return {label: sum(rows for stem, (_, rows) in found.items() if stem in stems) for label, found in parts.items()}


def _table(config: ReconstructionConfig, job: Job, folder: Folder, manifest: ShardManifest, parts: Parts) -> Table:
    sums = merged(folder)
    rows: dict[str, dict[str, Estimate]] = {}
    for name in [*(run.label for run in job.runs), *comparing(job.format).baselines]:
        if name in sums:
            failed = float(sums[name]["failed"][0]) if "failed" in sums[name] else 0.0
            clips = {"clips": Estimate(float(sums[name]["clips"][0]))} if "clips" in sums[name] else {}
            rows[name] = clips | {"failed": Estimate(failed)} | estimates(sums[name], sums.get(REAL))
    for run in job.runs:
        seconds = _seconds_per_clip(Folder.at(run.uri))
        if seconds is not None:
            rows[run.label]["seconds"] = Estimate(seconds)
    about = {
        "corpus": manifest.corpus,
        "latents": [run.uri for run in job.runs],
        "shards": job.shards,
        "generator": job.generator,
        "classifier": job.classifier,
    }
    methods = {run.label: run.method for run in job.runs}
    judged = {name: int(row["clips"].value) for name, row in rows.items() if "clips" in row}
    remarks = _remarks(config, job, manifest, parts, judged)
    title, signal = f"Reconstruction of {manifest.corpus}", kind_of(job.format)
    table = table_of(config, title, rows, methods, about, remarks, signal)
    return with_judge(table, config, job.classifier, signal)


def _remarks(
    config: ReconstructionConfig, job: Job, manifest: ShardManifest, parts: Parts, judged: Mapping[str, int]
) -> list[str]:
    """That rows leave out what not every run has; what was not judged; which labels are not compared. judged: clips by row."""
    remarks, what, blank = list[str](), f"{kind_of(job.format)}s", comparing(job.format).blank
    rows, clips = _rows_of(parts, manifest, config.splits), judged.get(REAL, 0)
    if config.limit:
        remarks.append(f"Of the first {config.limit:,} {what} alone (limit).")
    if any(count != clips for count in rows.values()):
        told = ", ".join(f"{literal(label)} {count:,}" for label, count in rows.items())
        remarks.append(
            f"All rows are over the same {clips:,} {what}, those that every run has a result for; rows there are: {told}."
        )
    few = judged.get(blank, 0)
    if few != clips:
        remarks.append(
            f"{blank} and {RANDOM} are judged on {few:,} of the {clips:,} {what}, a sample by seed and key "
            f"(sample={config.sample}); their {'IS and FD, which hang' if what == 'clips' else 'FD, which hangs'} on the "
            f"number of {what}, are not those of all."
        )
    if isinstance(job.format, PictureFormat):
        splits = " and ".join(splits_of_mean(manifest)) or "all splits"
        remarks.append(f"{blank}: the mean over the pictures of {splits} in the shards.")
    signal = kind_of(job.format)
    left_out = [each.title_of(signal) for each in MEASURES if each.needs_sound and each.of(signal)]
    if job.from_rows and job.classifier and not config.columns and left_out:
        remarks.append(
            f"Made of the rows of inference, which do not hold {', '.join(left_out)}: name it in columns, and a new out, to "
            f"have every {signal} {'heard' if what == 'clips' else 'seen'} for it."
        )
    remarks += _generators(job, [run.label for run in job.runs], [described(Folder.at(run.uri)) for run in job.runs])
    if job.classifier:
        known = folder_of(job.classifier, "classifier", "classifier")[1].label_names
        remarks += unshared_labels(manifest.label_names, known, signal)
        if not manifest.label_names:
            remarks.append(f"Accuracy: none, for the {what} have no labels; the classifier serves for features.")
    return remarks


def _generators(job: Job, labels: Sequence[str], about: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which generator each run inverted, where they are several."""
    if len({each["digests"]["generator"] for each in about}) < 2:
        return []
    told = ", ".join(
        f"{literal(label)} {literal(str(each['inputs']['generator']))}"
        for label, each in zip(labels, about, strict=True)
    )
    return [
        f"Runs are of several generators: {told}; {RANDOM} is of {literal(job.generator)} alone. How well recordings are "
        "recovered compares generators (Creswell & Bharath 2018) as far as each was inverted with the same method and budget."
    ]


def _seconds_per_clip(folder: Folder) -> float | None:
    """What an inference run says of its own cost, None where it does not."""
    try:
        summary = laid_out(folder).read_json(SUMMARY)
    except FileNotFoundError:
        return None
    seconds, clips = summary.get("seconds"), summary.get("clips")
    return seconds / clips if seconds is not None and clips else None
