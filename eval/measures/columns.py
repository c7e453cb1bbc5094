"""The columns that tables of clips share: how each comes from sums, how it is shown, how it is to be read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from invertone.eval.measures.estimates import (
    Estimate,
    Sums,
    frechet_distances,
    inception_score,
    mean,
    normal,
    percentile,
)
from invertone.eval.schemas.shared import JudgedConfig
from invertone.eval.table import Cell, Column, Table

LAYERS = ("logits", "penultimate")
"""Layers of the classifier that Fréchet distances are taken on."""
PEAK_TO_PEAK = 2.0
PUBLISHED = "_published"
"""Ending of the column that holds a paper's figures."""

COLUMNS = {
    column.name: column
    for column in (
        Column("row", "Row"),
        Column("clips", "Clips", ","),
        Column("failed", "Failed", ","),
        Column("accuracy", "Accuracy", ".1%", "↑"),
        Column("inception_score", "IS", ".2f", "↑"),
        Column("inception_spread", "IS ±", ".2f"),
        Column("frechet_logits", "FD logits", ".3f", "↓"),
        Column("frechet_penultimate", "FD penultimate", ".3f", "↓"),
        Column("feature_distance", "Feature distance", ".4f", "↓"),
        Column("cosine_distance", "Cosine distance", ".4f", "↓"),
        Column("ssim", "SSIM", ".4f", "↑"),
        Column("spectrogram_mae", "Spectrogram MAE", ".4f", "↓"),
        Column("spectrogram_mse", "Spectrogram MSE", ".4f", "↓"),
        Column("waveform_mse", "Waveform MSE", ".3g", "↓"),
        Column("waveform_mae", "Waveform MAE", ".3g", "↓"),
        Column("psnr", "PSNR dB", ".1f", "↑"),
        Column("explained_variance", "Explained variance", ".3f", "↑"),
        Column("recovered", "Recovered", ".1%", "↑"),
        Column("latent_error", "Latent error", ".4f", "↓"),
        Column("evaluations", "Evaluations", ",.1f", "↓"),
        Column("seconds", "Seconds", ".3f", "↓"),
    )
}
NOTES = {
    "accuracy": "Accuracy: share of labelled clips which the classifier hears as their label (of synthesised clips: as what it "
    "heard in the clip itself).",
    "inception_score": "IS: inception score on the classifier's posteriors, mean over groups, as WaveGAN (Donahue et al. "
    "2018); ± is the standard deviation over groups (ddof 0). It grows with clips per group and depends on the "
    "classifier: compare rows of one table, not with figures of another classifier.",
    "frechet_logits": "FD: Fréchet distance to the reference clips on the classifier's logits (as TiFGAN) and penultimate "
    "activations; biased upwards for few clips, so compare rows of equally many.",
    "feature_distance": "Feature distance: mean squared difference of the classifier's block activations. Cosine distance: of "
    "its penultimate activations.",
    "ssim": "SSIM, MAE and MSE of spectrograms are of log magnitudes (512/128, 87 dB below full scale, scaled to [-1, 1]).",
    "psnr": "PSNR: of waveforms of full scale ±1 (peak to peak 2), from the mean squared error of all clips.",
    "explained_variance": "Explained variance is of waveforms, pooled over clips: 1 - sum of residual variances / sum of clip "
    "variances.",
    "recovered": "Recovered: share of clips whose own explained variance is at least 0.99.",
    "latent_error": "Latent error: root mean square difference, over clips and coordinates, of the latent that made the clip "
    "and the recovered one; of clips that the inverted generator made (`invertone generate`).",
    "evaluations": "Evaluations: of the inverter's objective, mean per clip.",
    "seconds": "Seconds: of compute per clip, of the whole inference run.",
    "waveform_mse": "Waveform measures reward silence: read them against the row *silence*.",
}
MEANS = (
    "spectrogram_mae", "spectrogram_mse", "ssim", "waveform_mse", "waveform_mae", "feature_distance", "cosine_distance",
    "recovered",
)  # fmt: skip


def estimates(sums: Sums, reference: Sums | None) -> dict[str, Estimate]:
    """Every measure whose sums are there. reference: the sums of the row that Fréchet distances are taken to.

    A measure that nothing was counted for, or that is infinite (PSNR of a perfect copy), is left out; not so the accuracy of
    clips whose labels the classifier does not know, which is NaN: a table shows that there is none.
    """
    found: dict[str, Estimate] = {name: percentile(mean(sums, name)) for name in MEANS if name in sums}
    if "correct" in sums:
        found["accuracy"] = percentile(mean(sums, "correct", "labelled"))
    with np.errstate(divide="ignore", invalid="ignore"):
        if "waveform_mse" in sums:
            found["psnr"] = percentile(10 * np.log10(PEAK_TO_PEAK**2 / mean(sums, "waveform_mse")))
        if "clip_variance" in sums:
            found["explained_variance"] = percentile(1 - mean(sums, "residual_variance", "clip_variance"))
        if "latent_square" in sums:
            found["latent_error"] = percentile(np.sqrt(mean(sums, "latent_square", "latents_known")))
        if "evaluations" in sums:
            found["evaluations"] = percentile(mean(sums, "evaluations", "evaluations_known"))
    if "inception_clips" in sums:
        scores, spreads = inception_score(sums)
        found["inception_score"], found["inception_spread"] = normal(scores, 1.0), Estimate(float(spreads[0]))
    for layer in LAYERS:
        if reference is not None and f"{layer}_clips" in sums and f"{layer}_clips" in reference:
            found[f"frechet_{layer}"] = normal(frechet_distances(sums, reference, layer), 0.0)
    unknown = {"accuracy"} if "named" in sums and sums["named"][0] and not sums["labelled"][0] else set()
    return {name: each for name, each in found.items() if np.isfinite(each.value) or name in unknown}


def table_of(
    config: JudgedConfig,
    title: str,
    rows: Mapping[str, Mapping[str, Estimate]],
    also: Mapping[str, str],
    about: Mapping[str, object],
    remarks: Sequence[str] = (),
) -> Table:
    """The table of `rows`, with the paper's figures that `config` holds; `also`: see `with_published`. remarks: what is to be
    said of this table, beside how its columns are read."""
    cells: list[dict[str, Cell]] = [
        {"row": name, **{key: _cell(key, estimate.value) for key, estimate in found.items()}}
        for name, found in rows.items()
    ]
    columns = shown(config.columns, cells)
    wide, whole = with_published(columns, cells, config.published, also)
    intervals = [
        {key: estimate.interval for key, estimate in rows.get(str(row["row"]), {}).items() if estimate.interval}
        for row in whole
    ]
    notes = [*remarks, *notes_for(columns)]
    if config.bootstrap:
        notes.append(f"Intervals: bootstrap over clips, {config.bootstrap} replicates.")
    notes.append(f"Seed: {config.seed}.")
    everything = {"seed": config.seed, "bootstrap": config.bootstrap, **about}
    return Table(config.title or title, wide, whole, notes, everything, intervals)


def _cell(name: str, value: float) -> Cell:
    if not math.isfinite(value):
        return None
    return int(value) if name in ("clips", "failed") else value


def shown(asked: Sequence[str], found: Sequence[Mapping[str, object]]) -> list[Column]:
    """The columns to show: those `asked` for (none means all) that any row has, in the order of COLUMNS."""
    there = {name for row in found for name in row}
    return [
        column for name, column in COLUMNS.items() if name in there and (name in asked or not asked or name == "row")
    ]


def notes_for(columns: Sequence[Column]) -> list[str]:
    """How to read the columns that are shown."""
    names = [column.name for column in columns]
    return [text for name, text in NOTES.items() if name in names]


def with_published(
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Cell]],
    published: Mapping[str, Mapping[str, float]],
    also: Mapping[str, str],
) -> tuple[list[Column], list[dict[str, Cell]]]:
    """The paper's figures beside ours: a column of them after each of ours that they are of, and rows for what only the paper
    has. published: figures by row and column; `also` names a second name that a row's figures may stand under."""
    given = {name for figures in published.values() for name in figures}
    wide: list[Column] = []
    for column in columns:
        wide.append(column)
        if column.name in given:
            wide.append(Column(column.name + PUBLISHED, "paper", column.format))
    for name in given - {column.name for column in columns}:
        wide += [Column(name + PUBLISHED, f"{COLUMNS[name].title} paper", COLUMNS[name].format)]
    whole: list[dict[str, Cell]] = []
    used = set()
    for row in rows:
        name = str(row["row"])
        source = name if name in published else also.get(name, name)
        used.add(source)
        whole.append({**row, **{f"{key}{PUBLISHED}": value for key, value in published.get(source, {}).items()}})
    for name, figures in published.items():
        if name not in used:
            whole.append({"row": name, **{f"{key}{PUBLISHED}": value for key, value in figures.items()}})
    return wide, whole
