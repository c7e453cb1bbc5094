"""The probe table: what latents know of label, speaker and gender, as far as a linear classifier can say it.

A probe is multinomial logistic regression on standardised features; its C comes from an inner cross-validation. Beside the
latents stand the same probe on spectrograms, and chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from invertone.cluster.errors import UserError
from invertone.cluster.formats.signals import PictureFormat
from invertone.cluster.jobs.driver import Driver
from invertone.cluster.jobs.engine import Outcome
from invertone.eval.latents.features import PARTS, Features, Request, Source, gather, joined
from invertone.eval.latents.folds import Fold, Groups, fewest_groups, folds_of, groups_of, interval, predicted
from invertone.eval.latents.inference_runs import InferenceRun, open_inference_runs
from invertone.eval.schemas.probes import ProbesConfig
from invertone.eval.table import Cell, Column, Table
from invertone.eval.tabulate import tabulate

TRAIN, TEST = "train", "test"
PENALTIES = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
INNER_FOLDS = 3
FIELDS = {"label": "label_name", "speaker": "speaker", "gender": "gender"}
SPECTROGRAM_ROW, PIXELS_ROW = "spectrogram", "pixels"
COLUMNS = (
    Column("row", "From"),
    Column("target", "To"),
    Column("classes", "Classes", ","),
    Column("how", "How"),
    Column("n_train", "n train", ","),
    Column("n", "n test", ","),
    Column("accuracy", "Accuracy", ".1%", "↑"),
    Column("balanced_accuracy", "Balanced accuracy", ".1%", "↑"),
    Column("penalty", "C", "g"),
)


@dataclass(frozen=True)
class Trial:
    """One target: clips [n] whose class is known, their classes by number, and which are learned from and tested on."""

    target: str
    clips: Features
    names: tuple[str, ...]
    classes: np.ndarray
    groups: Groups
    folds: tuple[Fold, ...]
    how: str


def plan(config: ProbesConfig) -> list[str]:
    """What --dry-run prints."""
    run, sources = _sources(config)
    rows = sum(part.rows for source in sources for part in source.parts)
    splits = " and of ".join("+".join(sorted({part.shard.split for part in source.parts})) for source in sources)
    probes = len(config.targets) * (len(config.columns) + 1)
    return [f"would fit: {probes} probes on at most {config.clips:,} clips of {splits}, of {rows:,} in {run.uri}"]


def run(name: str, config: ProbesConfig) -> None:
    """Gathers features, fits a probe per column and target, prints the table."""
    inferred, sources = _sources(config)
    digests = {"latents": inferred.digest, "shards": inferred.manifest.digest}
    request = Request(config.seed, tuple(config.columns), True, "untouched", config.batch, config.device)

    def make(driver: Driver) -> tuple[Table, Outcome]:
        gathered, outcome = gather(driver, f"eval {name}", sources, request, config)
        table = _table(config, inferred, joined(gathered))
        return table, outcome

    tabulate(name, config, digests, make)


def _sources(config: ProbesConfig) -> tuple[InferenceRun, list[Source]]:
    """Training and test split where both are there, else one sample of all."""
    inferred = open_inference_runs([config.latents], [config.shards] if config.shards else [])[0]
    inferred.check_columns(config.columns)
    parts = inferred.of_splits(config.splits)
    if not sum(part.rows for part in parts):
        raise UserError("no latents of these splits", where=inferred.uri, fix="choose other splits")
    both = [tuple(part for part in parts if part.shard.split == split) for split in (TRAIN, TEST)]
    groups = both if all(sum(part.rows for part in each) for each in both) else [parts]
    return inferred, [Source(inferred, each, config.clips) for each in groups]


def trial_of(target: str, clips: Features, config: ProbesConfig) -> Trial | str:
    """What is learned from what, or why there is nothing to learn."""
    known = clips.take(clips[FIELDS[target]] != "")
    if not len(known):
        return f"no clip has a {target}"
    names, classes = np.unique(known[FIELDS[target]], return_inverse=True)
    if len(names) < 2:
        return f"all clips have one {target}, {names[0]}"
    train, test = (np.flatnonzero(known["split"] == split) for split in (TRAIN, TEST))
    asked = "recording" if target == "speaker" else config.groups  # a new voice has no name to be told
    if len(train) and len(test) and set(classes[test]) <= set(classes[train]):
        kind = groups_of(known.take(train), asked, INNER_FOLDS, classes[train]).kind
        groups = groups_of(known, kind, 0, classes)
        if fewest_groups(groups.of[train], classes[train]) < INNER_FOLDS:
            return f"a {target} has fewer than {INNER_FOLDS} {kind}s in training"
        return Trial(target, known, tuple(names), classes, groups, ((train, test),), "train → test")
    needed = max(config.folds, INNER_FOLDS + 1)
    groups = groups_of(known, asked, needed, classes)
    enough = [each for each in range(len(names)) if len(np.unique(groups.of[classes == each])) >= needed]
    if len(enough) < 2:
        return f"fewer than two {target}s have {needed} {groups.kind}s for {config.folds} folds"
    kept = np.flatnonzero(np.isin(classes, enough))
    groups, known, classes = (
        Groups(groups.of[kept], groups.kind),
        known.take(kept),
        np.searchsorted(enough, classes[kept]),
    )
    folds = tuple(folds_of(classes, groups.of, config.folds, config.seed))
    how = f"{config.folds} folds by {groups.kind}"
    return Trial(target, known, tuple(names[enough]), classes, groups, folds, how)


def probe(components: int | None, seed: int) -> Pipeline:
    """An unfitted probe; C is chosen on training clips alone. components: principal ones of standardised features, or None."""
    first = [] if components is None else [PCA(components, svd_solver="randomized", random_state=seed)]
    inner = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed)
    search = GridSearchCV(LogisticRegression(max_iter=5_000), {"C": list(PENALTIES)}, cv=inner)
    return make_pipeline(StandardScaler(), *first, search)


def _table(config: ProbesConfig, inferred: InferenceRun, clips: Features) -> Table:
    trials, notes = [], []
    pictures = isinstance(inferred.manifest.format, PictureFormat)
    for target in config.targets:
        trial = trial_of(target, clips, config)
        if isinstance(trial, Trial):
            trials.append(trial)
        else:
            notes.append(f"Left out: {target}, for {trial}.")
    if not trials:
        reasons = "; ".join(note.removeprefix("Left out: ").rstrip(".") for note in notes)
        raise UserError(f"nothing to tell: {reasons}", where=inferred.uri, fix="choose other targets=, or fewer folds=")
    rows: list[dict[str, Cell]] = []
    intervals: list[dict[str, tuple[float, float]]] = []
    for trial in trials:
        for row in (*config.columns, SPECTROGRAM_ROW):
            cells, within = _probed(row, trial, config)
            if row == SPECTROGRAM_ROW and pictures:
                cells["row"] = PIXELS_ROW
            rows.append(cells)
            intervals.append({"accuracy": within})
        rows.append(_chance(trial))
        intervals.append({})
    about = {
        "latents": inferred.uri,
        "generator": inferred.about["inputs"]["generator"],
        "seed": config.seed,
        "n": len(clips),
        "classes": {trial.target: list(trial.names) for trial in trials},
    }
    title = f"What latents know: {inferred.label} on {inferred.manifest.corpus}"
    return Table(title, COLUMNS, rows, [*_notes(config, trials, pictures), *notes], about, intervals)


def _probed(row: str, trial: Trial, config: ProbesConfig) -> tuple[dict[str, Cell], tuple[float, float]]:
    values = trial.clips[row].astype(np.float64)
    fewest = min(len(train) for train, _ in trial.folds)
    components = min(config.components, fewest - 1) if row == SPECTROGRAM_ROW else None
    found = predicted(probe(components, config.seed), values, trial.classes, trial.folds, trial.groups.of)
    tested = found.fold >= 0
    correct = found.label[tested] == trial.classes[tested]
    penalties = [fitted[-1].best_params_["C"] for fitted in found.fitted]
    cells = _cells(row, trial, found.label) | {"penalty": float(np.median(penalties))}
    return cells, interval(correct, trial.groups.of[tested], config.seed)


def _chance(trial: Trial) -> dict[str, Cell]:
    """Always the most frequent class of the training clips."""
    label = np.zeros_like(trial.classes)
    for train, test in trial.folds:
        label[test] = np.bincount(trial.classes[train]).argmax()
    return _cells("chance", trial, label)


def _cells(row: str, trial: Trial, label: np.ndarray) -> dict[str, Cell]:
    tested = np.concatenate([test for _, test in trial.folds])
    truth, said = trial.classes[tested], label[tested]
    recall = recall_score(truth, said, labels=np.unique(truth), average="macro", zero_division=0)
    return {
        "row": row,
        "target": trial.target,
        "classes": len(trial.names),
        "how": trial.how,
        "n_train": round(float(np.mean([len(train) for train, _ in trial.folds]))),
        "n": len(tested),
        "accuracy": float((truth == said).mean()),
        "balanced_accuracy": float(recall),
    }


def _notes(config: ProbesConfig, trials: Sequence[Trial], pictures: bool) -> list[str]:
    what = f"Spectrogram: at most {config.components} principal components of the log magnitude 512/128, means of 2 x 4 cells"
    if pictures:
        what = f"Pixels: at most {config.components} principal components of means of {PARTS} x {PARTS} parts of each colour"
    notes = [
        "Multinomial logistic regression on standardised features; C of "
        f"{', '.join(f'{each:g}' for each in PENALTIES)} by {INNER_FOLDS}-fold cross-validation inside the training clips (the "
        f"median over folds is shown). Seed {config.seed}.",
        "How: training and test split where the test's classes are all in training, else stratified folds; no recording (or "
        "speaker) is on both sides of a fold. In brackets 95 % by bootstrap over recordings (or speakers). Balanced: mean over "
        "classes.",
        f"{what}: what a linear probe gets without any model. Chance: always the most frequent class.",
    ]
    shared = [trial.target for trial in trials if trial.target != "speaker" and _voices_on_both_sides(trial)]
    if shared:
        notes.append(
            f"{' and '.join(shared)}: some speakers are in training and in test, so a probe may know the voice."
        )
    return notes


def _voices_on_both_sides(trial: Trial) -> bool:
    speakers = trial.clips["speaker"]
    return any(len(np.setdiff1d(np.intersect1d(speakers[train], speakers[test]), [""])) for train, test in trial.folds)
