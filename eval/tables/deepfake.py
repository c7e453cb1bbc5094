"""The deepfake table: can simple classifiers tell real clips from generated ones, and by what.

Follows Table 3 of the second paper on inverse mappers (Keyes et al., experiment 3), whose own protocol is the config of that
table: 100 clips a side, whatever their labels, levels and speakers, whole spectrograms, latents as predicted. Otherwise
latents can only be credited with what loudness alone does not give away: real and generated clips get one gain, and the rows
*loudness* say what is left of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from invertone.cluster.errors import UserError
from invertone.cluster.formats.runs import recorded
from invertone.cluster.formats.signals import clips_of, refuse_others
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome
from invertone.cluster.storage.folder import Folder
from invertone.eval import figures
from invertone.eval.figures import Counts, Histogram, Scatter
from invertone.eval.latents import detector
from invertone.eval.latents.detector import fitted
from invertone.eval.latents.features import UNKNOWN_LABEL, Features, Request, Source, gather
from invertone.eval.latents.folds import Fold, Groups, fewest_groups, folds_of, groups_of, interval, predicted, wilson
from invertone.eval.latents.inference_runs import InferenceRun, open_inference_runs
from invertone.eval.measures.loudness import SILENT_RUN
from invertone.eval.schemas.deepfake import DeepfakeConfig
from invertone.eval.table import Cell, Column, Table
from invertone.eval.tables.deepfake_rows import LOUDNESS_ROWS, ROWS, STATISTICS, balanced, models_of, rows_of
from invertone.eval.tables.latent_space import FEWEST, tsne
from invertone.eval.tabulate import tabulate

LATENT, UNPROJECTED = "latent", "unprojected_latent"
PERPLEXITY = 30.0
"""Of the maps; the paper names none, and this is usual."""
SURPLUS = 2
"""Candidates per clip that is wanted, to choose among for equal shares of labels."""
SAME = ("generator", "mapper")
CLIPS_ONLY = ("input.shards", "splits", "limit", "rows", "reconstructions", "reconstruction_format", "formats", "seed")
"""What two inference runs may differ in: which clips they are of, and what else is written."""
LATER = {"precision": "float32", "compile": False, "tile": 0, "unprojected": False, "clip_to": None}
"""What runs did of which older versions knew no key, and which they do not name."""
COLUMNS = (
    Column("row", "Row"),
    Column("n", "n", ","),
    Column("features", "Features", ","),
    Column("lr", "LR accuracy", ".1%"),
    Column("svm", "SVM accuracy", ".1%"),
    Column("lr_auc", "LR AUC", ".3f"),
    Column("svm_auc", "SVM AUC", ".3f"),
)
PUBLISHED = (Column("lr_published", "LR published", ".2%"), Column("svm_published", "SVM published", ".2%"))


def plan(config: DeepfakeConfig) -> list[str]:
    """What --dry-run prints."""
    sources = _sources(config)
    real, fake = (sum(part.rows for part in source.parts) for source in sources)
    files = sum(len(source.parts) for source in sources)
    return [
        f"would compare: at most {config.clips:,} of {real:,} real and as many of {fake:,} generated clips",
        f"would read: {files:,} Parquet files and their shards",
    ]


def run(name: str, config: DeepfakeConfig) -> None:
    """Gathers features of both sides, fits, prints the table."""
    sources = _sources(config)
    real, fake = (source.run for source in sources)
    vectors = tuple(column for column in real.vector_columns() if column.endswith("latent"))
    digests = {"real": real.digest, "fake": fake.digest, "generator": str(real.about["digests"]["generator"])}
    digests |= {"real_shards": real.manifest.digest, "fake_shards": fake.manifest.digest}
    whole = config.spectrogram == "whole"
    request = Request(config.seed, vectors, True, config.level, config.batch, config.device, whole)

    def make(driver: Driver) -> tuple[Table, Outcome]:
        (of_real, of_fake), outcome = gather(driver, f"eval {name}", sources, request, config)
        clips, classes = balanced(of_real, of_fake, config.clips, config.match_labels)
        groups = groups_of(clips, config.groups, config.folds, classes)
        _check_groups(groups, classes, config)
        folds = folds_of(classes, groups.of, config.folds, config.seed)
        table = _table(config, sources, clips, classes, groups, folds, vectors)
        column = UNPROJECTED if UNPROJECTED in vectors else LATENT
        accuracy = next(float(str(row["lr"])) for row in table.rows if row["row"] == column.replace("_", " "))
        learned = fitted(column, clips[column].astype(np.float64), classes, real.about["digests"], accuracy)
        detector.publish(driver.term.folder, learned)
        figures.publish(driver.term.folder, [*maps(config, clips, classes, vectors), *_figures(clips, classes)])
        return table, outcome

    tabulate(name, config, digests, make)


def _sources(config: DeepfakeConfig) -> list[Source]:
    for row, accuracies in config.published.items():
        if row not in ROWS or len(accuracies) != 2:
            fix = f"write `ROW: [logistic regression, SVM]`; rows are {'; '.join(ROWS)}"
            raise UserError(f"published.{row} is no row, or not two accuracies", fix=fix)
    given = [(config.real, config.real_shards), (config.fake, config.fake_shards)]
    runs = [open_inference_runs([uri], [shards] if shards else [])[0] for uri, shards in given]
    _check_pair(*runs)
    sources = []
    for each in runs:
        parts = each.of_splits(config.splits)
        if sum(part.rows for part in parts) < config.folds:
            raise UserError(
                f"has {sum(part.rows for part in parts)} clips for {config.folds} folds",
                where=each.uri,
                fix="infer more clips, or give fewer folds=",
            )
        sources.append(Source(each, parts, SURPLUS * config.clips if config.match_labels else config.clips))
    return sources


def _check_pair(real: InferenceRun, fake: InferenceRun) -> None:
    """Only what differs in nothing but the clips can be compared."""
    for each in (real, fake):
        clips_of(each.manifest.format, "shards", each.shards)
    refuse_others(fake.manifest.clips, "fake", real.manifest.clips, "real clips", fake.shards, "is of")
    for role in SAME:
        if real.about["digests"].get(role) != fake.about["digests"].get(role):
            raise UserError(
                f"real and fake latents were made with different {role}s",
                where=fake.uri,
                fix=f"infer both with the same {role}",
            )
    settings = [recorded(Folder.at(each.uri))["fingerprint"] for each in (real, fake)]
    for name in sorted({*settings[0], *settings[1]} - set(CLIPS_ONLY)):
        values = [each.get(name, LATER.get(name)) for each in settings]
        if values[0] != values[1]:
            raise UserError(
                f"real and fake latents were inferred differently ({name}: {values[0]} and {values[1]})",
                where=fake.uri,
                fix="infer both in the same way",
            )
    if real.synthesised_by is not None:
        raise UserError(
            "real: these clips were made by a generator",
            where=real.uri,
            fix="give an infer run over recordings as real=, and this one as fake=",
        )
    if real.manifest.digest == fake.manifest.digest:
        raise UserError("real and fake are the same clips", where=fake.uri, fix="give other shards to one of them")
    if real.vector_columns() != fake.vector_columns():
        raise UserError("real and fake have different latent columns", where=fake.uri, fix="infer both in the same way")


def _check_groups(groups: Groups, classes: np.ndarray, config: DeepfakeConfig) -> None:
    fewest = fewest_groups(groups.of, classes) if len(classes) else 0
    if fewest < config.folds:
        what = f"{fewest} {groups.kind}s of one side for {config.folds} folds"
        fix = "give fewer folds=, groups=recording, match_labels=false, or infer more clips"
        raise UserError(what, where=config.real, fix=fix)


def _table(
    config: DeepfakeConfig,
    sources: Sequence[Source],
    clips: Features,
    classes: np.ndarray,
    groups: Groups,
    folds: Sequence[Fold],
    vectors: Sequence[str],
) -> Table:
    rows: list[dict[str, Cell]] = []
    intervals: list[dict[str, tuple[float, float]]] = []
    fewest = min(len(train) for train, _ in folds)
    values = rows_of(clips, vectors)
    if config.level == "untouched":
        del values[LOUDNESS_ROWS[1]]
    for row, each in values.items():
        cells: dict[str, Cell] = {"row": row, "n": len(classes), "features": each.shape[1]}
        within = {}
        for model, unfitted in models_of(row, config, fewest).items():
            found = predicted(unfitted, each, classes, folds)
            correct = found.label == classes
            cells |= {model: float(correct.mean()), f"{model}_auc": found.auc(classes)}
            within[model] = interval(correct, groups.of, config.seed)
        rows.append(cells)
        intervals.append(within)
    absent = [
        name for name in config.published if name not in (*values, "chance")
    ]  # a paper's figures, and none of ours
    rows += [{"row": name} for name in absent]
    intervals += [{}] * len(absent)
    rows.append({"row": "chance", "n": len(classes), "lr": 0.5, "svm": 0.5, "lr_auc": 0.5, "svm_auc": 0.5})
    intervals.append(dict.fromkeys(("lr", "svm"), wilson(0.5, len(classes))))
    for cells in rows:
        lr, svm = config.published.get(str(cells["row"]), (None, None))
        cells |= {"lr_published": lr, "svm_published": svm}
    real, fake = (source.run for source in sources)
    about = {
        "real": real.uri,
        "fake": fake.uri,
        "generator": real.about["inputs"]["generator"],
        "seed": config.seed,
        "n": len(classes),
        "folds": config.folds,
        "groups": groups.kind,
        "level": config.level,
        "labels": {
            name: int((clips["label_name"] == name).sum()) for name in np.unique(clips["label_name"]).tolist() if name
        },
        "source_sample_rates": _rates(clips, classes),
    }
    columns = COLUMNS + (PUBLISHED if config.published else ())
    title = f"Real or generated: {real.manifest.corpus} against {fake.manifest.corpus}"
    return Table(title, columns, rows, _notes(config, clips, classes, groups, fake), about, intervals)


def _seen_of(config: DeepfakeConfig) -> str:
    """What classifiers are given of spectrograms."""
    cells = "every cell" if config.spectrogram == "whole" else "means of 2 x 4 cells"
    if not config.components:
        return f"{cells}, flattened"
    return f"{cells}, at most {config.components} principal components of each fold"


def _rates(clips: Features, classes: np.ndarray) -> dict[str, list[int]]:
    sides = {"real": 0, "fake": 1}
    return {side: np.unique(clips["source_sample_rate"][classes == at]).tolist() for side, at in sides.items()}


def _notes(
    config: DeepfakeConfig, clips: Features, classes: np.ndarray, groups: Groups, fake: InferenceRun
) -> list[str]:
    half = len(classes) // 2
    matched = config.match_labels and bool((clips["label"] != UNKNOWN_LABEL).all())
    levels = {
        "rms": "scaled to equal RMS (-30 dB re full scale)",
        "peak": "scaled to equal peak (full scale)",
        "untouched": "left as they are",
    }[config.level]
    notes = [
        f"Accuracy of {config.folds}-fold stratified cross-validation, {half:,} real and {half:,} generated clips, seed "
        f"{config.seed}; {'equally many of every label' if matched else 'labels are not matched'}. LR: logistic regression, "
        "SVM: with RBF kernel, both with scikit-learn's defaults (C = 1); features are standardised inside each fold.",
        f"Folds are grouped by {groups.kind}: no {groups.kind} is in training and test of a fold (a generated clip is one of "
        f"its own). In brackets 95 % by bootstrap over {groups.kind}s; AUC: mean over folds.",
        f"Level: clips were {levels} before spectrogram and *loudness, levelled*. Latents and reconstruction error are of the "
        "clips as `invertone infer` saw them, untouched: their rows can owe to level what *loudness, as inferred* shows.",
        f"Loudness: RMS, peak, and the share of samples in runs of {SILENT_RUN} zeros and more (digital silence, which padding "
        "makes and generators do not). What it tells after levelling is peak against RMS, and that silence.",
        f"Latent statistics: {', '.join(STATISTICS)}. Spectrogram: log magnitude 512/128, {_seen_of(config)}. "
        "Unprojected latent: as the mapper said it, before it was put into the prior's box. Reconstruction error: the scores "
        "in the Parquet.",
        "Chance: guesses, and within what they fall in 95 % of tables of this size.",
    ]
    rates = _rates(clips, classes)
    if rates["real"] != rates["fake"]:
        shown = {side: ", ".join(f"{rate:,}" for rate in each) for side, each in rates.items()}
        notes.append(
            f"Real clips were converted from {shown['real']} Hz, generated ones come at {shown['fake']} Hz: a generator that "
            "did not learn from clips converted so is told by its high frequencies."
        )
    if fake.synthesised_by is None:
        notes.append("Shards of the fake side do not say that a generator made them.")
    elif fake.synthesised_by != fake.about["digests"]["generator"]:
        notes.append("Fake clips were made by another generator than the one that was inverted.")
    return notes


def maps(config: DeepfakeConfig, clips: Features, classes: np.ndarray, vectors: Sequence[str]) -> list[Scatter]:
    """Real and generated clips in two dimensions by t-SNE: of spectrograms, and of each column of latents (figure 4, A and B,
    of the second paper on inverse mappers). Of each side the `map_clips` clips of smallest hash."""
    chosen = np.concatenate([np.flatnonzero(classes == side)[: config.map_clips] for side in (0, 1)])
    if len(chosen) < FEWEST:
        return []
    of, groups = clips.take(chosen), [("real", "fake")[side] for side in classes[chosen]]
    note = f"{len(chosen):,} clips, seed {config.seed}; distances between clusters and their sizes mean nothing"
    shown = []
    for name in ("spectrogram", *vectors):
        x, y = (np.round(each, 4).tolist() for each in tsne(of[name], PERPLEXITY, config.seed).T)
        title = f"Real and generated by {name.replace('_', ' ')}, t-SNE"
        shown.append(Scatter(title, x, y, groups, of["key"].tolist(), note=note))
    return shown


def _figures(clips: Features, classes: np.ndarray) -> list[Histogram]:
    """Distributions of both sides."""
    norms = np.linalg.norm(clips["latent"].astype(np.float64), axis=1)
    shown: Mapping[str, tuple[str, np.ndarray]] = {
        "Norm of latents": ("norm", norms),
        "Loudness, as inferred": ("RMS, dB re full scale", clips["loudness_seen"][:, 0]),
        "Digital silence": ("share of samples", clips["loudness_seen"][:, 2]),
    }
    return [_histogram(title, x_title, values, classes) for title, (x_title, values) in shown.items()]


def _histogram(title: str, x_title: str, values: np.ndarray, classes: np.ndarray) -> Histogram:
    edges = np.histogram_bin_edges(values, bins=30)
    counts = [np.histogram(values[classes == side], edges)[0] for side in (0, 1)]
    series = [Counts(name, edges.tolist(), each.tolist()) for name, each in zip(("real", "fake"), counts, strict=True)]
    return Histogram(title, x_title, series)
