"""The recognition table: whether a recogniser finds the person again in a reconstruction, among all people of a gallery.

Rows: *real* (the pictures themselves: what perfection scores), one per inference run, *mean face* and *random latent* (what
knows nothing of the picture). Each is a column of the cumulative match characteristic (Phillips, Grother & Micheals 2003; Bayat
2020, 2.3.4), whose curve is a figure. The recogniser must not be the one that the runs' reconstructions were made to please.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invertone.cluster.errors import UserError
from invertone.cluster.formats.checkpoints import CheckpointManifest, refuse_unlike
from invertone.cluster.formats.latents import AHEAD, committed_rows, described
from invertone.cluster.formats.ledger import Output, Unit, first_items
from invertone.cluster.formats.shards import ShardManifest, load_manifest
from invertone.cluster.formats.signals import pictures_of, refuse_others
from invertone.cluster.jobs.driver import Driver, driving
from invertone.cluster.jobs.engine import Outcome, run_units
from invertone.cluster.storage.folder import Folder, content_digest
from invertone.cluster.storage.parquet import parquet_schema
from invertone.eval import figures
from invertone.eval.figures import Lines, Series
from invertone.eval.latents.inference_runs import check_run, labels_of
from invertone.eval.measures.columns import estimates, table_of
from invertone.eval.measures.comparing import MEAN_FACE, RANDOM, REAL
from invertone.eval.measures.estimates import Estimate, Sums
from invertone.eval.measures.heard_by import with_judge
from invertone.eval.measures.listener import Sampling
from invertone.eval.measures.recognised import CLOSER, MOST, PROBES, RANKS, cumulative
from invertone.eval.measures.sums import merged
from invertone.eval.schemas.measures import PICTURE
from invertone.eval.schemas.recognition import AUTO, KEY, RecognitionConfig
from invertone.eval.table import Table, literal
from invertone.eval.tables.judge import Run
from invertone.eval.tables.mean_face import mean_face, splits_of_mean
from invertone.eval.tables.recognition_stage import (
    STRANGERS,
    GalleryStage,
    RecognitionJob,
    RecognitionStage,
    read_gallery,
)
from invertone.eval.tabulate import tabulate
from invertone.models.checkpoint import folder_of
from invertone.models.generator import check_generator, generator_digest, generator_format

GALLERY = "gallery"
MOST_GALLERY = 50_000
"""Pictures of a gallery, whose embeddings every worker has in memory: of 512 numbers and with their distances to a shard's
probes about 1 GB."""
LOSSES = ("features", "perceptual")
"""Terms of a loss that a classifier or recogniser makes."""


@dataclass(frozen=True)
class _Inputs:
    """All that a table is made of, checked."""

    runs: tuple[Run, ...]
    about: tuple[Mapping[str, Any], ...]
    parts: Mapping[str, Mapping[str, tuple[Output, int]]]
    shards: str
    manifest: ShardManifest
    gallery: str
    gallery_manifest: ShardManifest
    gallery_splits: tuple[str, ...]
    generator: str
    judge: CheckpointManifest
    remarks: tuple[str, ...]

    @property
    def gallery_units(self) -> list[Unit]:
        entries = self.gallery_manifest.of_splits(self.gallery_splits)
        return [
            Unit(entry.name.removesuffix(".tar"), dataclasses.asdict(entry), items=entry.count) for entry in entries
        ]


def plan(config: RecognitionConfig) -> list[str]:
    """What --dry-run prints."""
    found = _inputs(config)
    names = ", ".join(run.label for run in found.runs)
    probes, gallery = (sum(each.items for each in units) for units in (_units(config, found), found.gallery_units))
    return [f"would look up: {names} on {probes:,} pictures, in a gallery of {gallery:,}"]


def run(name: str, config: RecognitionConfig) -> None:
    """Embeds the gallery, looks up every probe, prints the table and publishes the curve."""
    found, what = _inputs(config), f"eval {name}"
    digests = {
        f"latents.{label}": content_digest(part for part, _ in parts.values()) for label, parts in found.parts.items()
    }
    digests |= {"shards": found.manifest.digest, "gallery": found.gallery_manifest.digest}
    digests |= {"generator": check_generator(found.generator), "classifier": found.judge.digest}

    def make(driver: Driver) -> tuple[Table, Outcome]:
        folder = driver.term.folder
        gallery = folder / GALLERY
        stage = GalleryStage(
            found.gallery, found.manifest.format, config.classifier, config.identity, config.batch, config.device
        )
        with driving(gallery) as own:
            lost = run_units(
                own, stage, found.gallery_units, what=f"{what}: gallery", items="pictures", settings=config,
                device=config.device,
            ).excluded  # fmt: skip
        mean = mean_face(driver, what, found.shards, found.manifest, config)
        units = _units(config, found)
        sampling = Sampling(
            config.seed, config.bootstrap, config.groups, min(1.0, config.sample / sum(each.items for each in units))
        )
        job = RecognitionJob(
            found.runs, found.shards, found.manifest.format, found.generator, config.classifier, gallery, mean,
            config.identity, sampling, config.batch, config.device,
        )  # fmt: skip
        outcome = run_units(
            driver, RecognitionStage(job), units, what=what, items="pictures", settings=config, device=config.device
        )
        people = read_gallery(gallery).identities
        table, curve = _table(config, found, merged(folder), len(set(people)), len(people))
        if lost:
            note = f"{lost:,} pictures of the gallery could not be seen, and are left out."
            table = dataclasses.replace(table, notes=[note, *table.notes])
        figures.publish(folder, [curve])
        return table, outcome

    tabulate(name, config, digests, make)


def _inputs(config: RecognitionConfig) -> _Inputs:
    committed = {uri: committed_rows(Folder.at(uri)) for uri in config.latents}
    about = [described(Folder.at(uri), list(committed[uri])) for uri in config.latents]
    shards = config.shards or about[0]["inputs"]["shards"]
    manifest = load_manifest(Folder.at(shards))
    pictures_of(manifest.format, "shards", shards)
    for uri, each in zip(config.latents, about, strict=True):
        check_run(uri, each, manifest, shards)
    gallery = config.gallery or shards
    gallery_manifest = load_manifest(Folder.at(gallery))
    refuse_others(gallery_manifest.format, "gallery", manifest.format, "shards", gallery, "is of")
    gallery_splits = config.gallery_splits or ([] if config.gallery else config.splits)
    pictures = sum(entry.count for entry in gallery_manifest.of_splits(gallery_splits))
    if not pictures or pictures > MOST_GALLERY:
        raise UserError(
            f"a gallery of {pictures:,} pictures: {'none to find' if not pictures else 'more than workers hold'}",
            where=gallery,
            fix=f"choose other gallery_splits, of at most {MOST_GALLERY:,} pictures",
        )
    generator = config.generator or about[0]["inputs"]["generator"]
    refuse_others(generator_format(generator), "generator", manifest.format, "shards", generator)
    judge = folder_of(config.classifier, "classifier", "classifier")[1]
    refuse_unlike(judge, "classifier", manifest.format, "shards", config.classifier)
    runs = tuple(
        Run(label, uri, False, each["method"])
        for label, uri, each in zip(labels_of(config.latents, about), config.latents, about, strict=True)
    )
    parts = {
        run.label: {part.name.removesuffix(".parquet"): (part, rows) for part, rows in committed[run.uri].items()}
        for run in runs
    }
    for run, each in zip(runs, about, strict=True):
        with Folder.at(run.uri).open(next(iter(committed[run.uri])).name, AHEAD) as file:
            kept = "reconstruction" in parquet_schema(file).names
        if not kept and each["digests"]["generator"] != generator_digest(generator):
            raise UserError(
                f"reconstructions would have to be made again, and {generator} is not the generator of these latents",
                where=run.uri,
                fix="infer with rows=reconstructions, or make a table of each generator",
            )
    remarks = _independent(config, runs, about, judge)
    if judge.data.get("digest") == gallery_manifest.digest:
        remarks.append("The recogniser learnt from the gallery's own pictures, whom it knows better than others.")
    return _Inputs(
        runs, tuple(about), parts, shards, manifest, gallery, gallery_manifest, tuple(gallery_splits), generator, judge,
        tuple(remarks),
    )  # fmt: skip


def _independent(
    config: RecognitionConfig, runs: Sequence[Run], about: Sequence[Mapping[str, Any]], judge: CheckpointManifest
) -> list[str]:
    """Raises UserError where the recogniser that judges is one that a run's reconstructions, or its mapper, were made to
    please, or was trained with that; says of which runs that cannot be told."""
    unknown = []
    for run, each in zip(runs, about, strict=True):
        losses, told = _loss_networks(run.uri, each)
        if not told:
            unknown.append(run.label)
        if judge.digest in losses.values() or set(judge.inputs.values()) & set(losses.values()):
            role = next(
                (role for role, digest in losses.items() if digest == judge.digest), "an input of the recogniser"
            )
            raise UserError(
                f"the recogniser that judges is the one that {run.label} was made to please ({role})",
                where=config.classifier,
                fix="give one that was trained apart, as runs/judge by another seed and other pictures",
            )
    if not unknown:
        return [
            "The recogniser is none that a run's reconstructions, or its mapper, were trained or searched to please."
        ]
    names = ", ".join(map(literal, unknown))
    return [f"Whether the mapper of {names} was trained with this recogniser cannot be told: it is no longer at hand."]


def _loss_networks(uri: str, about: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
    """Digests of the networks that a run's losses, and its mapper's in training, were made of, by role; and whether that is
    known."""
    found = dict[str, str]()
    digests, places = about["digests"], about["inputs"]
    folder = Folder.at(uri)
    with folder.open(next(iter(committed_rows(folder))).name, AHEAD) as file:
        schema = parquet_schema(file)
    terms = {field.name for field in schema.field("losses").type} if "losses" in schema.names else set()
    if terms & set(LOSSES) and "classifier" in digests:
        found["its loss"] = digests["classifier"]
    if "mapper" not in digests:
        return found, True
    try:
        mapper = folder_of(places["mapper"], "mapper")[1]
    except (UserError, KeyError):
        return found, False
    if mapper.digest != digests["mapper"]:
        return found, False
    return found | {f"its mapper's {role}": each for role, each in mapper.inputs.items() if role != "generator"}, True


def _units(config: RecognitionConfig, found: _Inputs) -> list[Unit]:
    """One per shard of which every run has a Parquet file."""
    units = []
    for entry in found.manifest.of_splits(config.splits):
        stem = entry.name.removesuffix(".tar")
        if all(stem in parts for parts in found.parts.values()):
            work = {"unit": stem, "shard": dataclasses.asdict(entry)}
            work["parts"] = {label: dataclasses.asdict(parts[stem][0]) for label, parts in found.parts.items()}
            units.append(Unit(stem, work, items=entry.count))
    if not units:
        what = "no shard is in all runs" if len(found.parts) > 1 else "no rows"
        raise UserError(f"{what} of these splits", where=", ".join(config.latents), fix="choose other splits or runs")
    return first_items(units, config.limit)


def _table(
    config: RecognitionConfig, found: _Inputs, sums: Mapping[str, Sums], people: int, pictures: int
) -> tuple[Table, Lines]:
    """The table, and the curve of all its rows."""
    probes = int(sums[REAL][PROBES][0]) if PROBES in sums[REAL] else 0
    if not probes:
        raise UserError(
            "none of the people is in the gallery", where=found.gallery, fix="give another gallery, or identity=key"
        )
    rows: dict[str, dict[str, Estimate]] = {}
    curves = list[Series]()
    ranks = list(range(1, min(MOST, people) + 1))
    for name in [REAL, *(run.label for run in found.runs), MEAN_FACE, RANDOM]:
        if CLOSER not in sums.get(name, {}):
            continue
        own = sums[name]
        counts = {"clips": Estimate(float(own[PROBES][0])), "failed": Estimate(float(own["failed"][0]))}
        # a rank beyond the gallery says nothing
        found_at = {key: each for key, each in estimates(own, None).items() if _rank_of(key) <= people}
        rows[name] = counts | found_at
        curves.append(Series(name, ranks, np.round(cumulative(own, ranks)[0], 6).tolist()))
    rows["chance"] = {f"rank_{rank}": Estimate(min(1.0, rank / people)) for rank in RANKS if rank <= people}
    curves.append(Series("chance", ranks, [rank / people for rank in ranks]))
    about = {
        "corpus": found.manifest.corpus,
        "latents": [run.uri for run in found.runs],
        "shards": found.shards,
        "gallery": found.gallery,
        "people": people,
        "generator": found.generator,
        "classifier": config.classifier,
    }
    title = f"Recognition after inversion of {found.manifest.corpus}"
    remarks = [_of_gallery(config, found, people, pictures), *_left_out(config, found, sums, probes), *found.remarks]
    methods = {run.label: run.method for run in found.runs}
    table = with_judge(
        table_of(config, title, rows, methods, about, remarks, PICTURE), config, config.classifier, PICTURE
    )
    note = f"{people:,} people in the gallery, {probes:,} probes. Chance: of identities in any order."
    return table, Lines("Cumulative match characteristic", "rank", "share found", curves, note)


def _rank_of(column: str) -> int:
    """The rank that a column is of; 0 of others."""
    return int(column.removeprefix("rank_")) if column.startswith("rank_") else 0


def _of_gallery(config: RecognitionConfig, found: _Inputs, people: int, pictures: int) -> str:
    own = " (the pictures themselves)" if found.gallery == found.shards else f", {literal(found.gallery)}"
    who = {AUTO: "", KEY: "; every picture is a person of its own (identity=key)"}.get(
        config.identity, f"; people by {config.identity}"
    )
    return f"Gallery: {pictures:,} pictures of {people:,} people{own}{who}. Chance: rank k of {people:,} is k / {people:,}."


def _left_out(config: RecognitionConfig, found: _Inputs, sums: Mapping[str, Sums], probes: int) -> list[str]:
    remarks = []
    if config.limit:
        remarks.append(f"Of the first {config.limit:,} pictures alone (limit).")
    strangers = int(sums[REAL][STRANGERS][0])
    if strangers:
        remarks.append(f"{strangers:,} pictures of people who are not in the gallery are left out.")
    few = int(sums[MEAN_FACE][PROBES][0]) if MEAN_FACE in sums else 0
    if few != probes:
        remarks.append(
            f"{MEAN_FACE} and {RANDOM} are looked up for {few:,} of the {probes:,} pictures, a sample by seed and key "
            f"(sample={config.sample})."
        )
    splits = " and ".join(splits_of_mean(found.manifest)) or "all splits"
    return [*remarks, f"{MEAN_FACE}: the mean over the pictures of {splits} in the shards."]
