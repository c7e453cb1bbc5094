"""Keys of `invertone eval`: one schema per table. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.config import REQUIRED, Catalogue, key
from cluster.engine_config import BulkConfig
from cluster.shards import SPLITS

DEVICES = ("auto", "cpu", "cuda")
MEASURES = (
    "clips", "failed", "accuracy", "inception_score", "inception_spread", "frechet_logits", "frechet_penultimate",
    "feature_distance", "cosine_distance", "ssim", "spectrogram_mae", "spectrogram_mse", "waveform_mse", "waveform_mae",
    "psnr", "explained_variance", "recovered", "latent_error", "evaluations", "seconds",
)  # fmt: skip
"""Columns of tables of clips, in their order; `eval.columns` says what each is."""


@dataclass(frozen=True)
class EvalConfig(BulkConfig):
    """Keys that every table has."""

    table: str = key(REQUIRED, "which table")
    out: str = key(REQUIRED, "run folder that takes the table", path=True, neutral=True)
    splits: list[str] = key([], "only clips of these splits; empty means all", choices=SPLITS)
    batch: int = key(64, "clips at a time; does not change the result", minimum=1, neutral=True)
    device: str = key("auto", "auto takes GPUs where the cluster has them", choices=DEVICES, neutral=True)


@dataclass(frozen=True)
class JudgedConfig(EvalConfig):
    """Keys of tables that judge clips by a classifier and by distances, with confidence intervals."""

    seed: int = key(0, "decides random latents, groups and bootstrap draws", minimum=0)
    bootstrap: int = key(200, "bootstrap replicates behind the 95 % intervals; 0 makes none", minimum=0, maximum=10_000)
    groups: int = key(10, "groups that the inception score is the mean of; WaveGAN takes 10", minimum=1, maximum=1_000)
    columns: list[str] = key([], "columns to show; empty means all that there are", choices=MEASURES, neutral=True)
    title: str = key("", "what stands above the table; empty means a plain description", neutral=True)
    published: dict[str, dict[str, float]] = key(
        {}, "a paper's figures, to stand beside ours: {row: {column: figure}}", neutral=True
    )
    needs: dict[str, str] = key(
        {},
        "how to make what the table is made of: {key: command, in which {name} is the run folder's name}",
        neutral=True,
    )
    partial: bool = key(False, "leave out rows whose runs are not there, instead of refusing", neutral=True)


@dataclass(frozen=True)
class ReconstructionConfig(JudgedConfig):
    """Reconstructions against their clips, with the rows real, silence and random latent."""

    latents: list[str] = key(REQUIRED, "run folder of an infer, or several: [runs/a, runs/b]", path=True, neutral=True)
    shards: str | None = key(None, "the clips; none means those the latents were made from", path=True, neutral=True)
    classifier: str | None = key(
        None,
        "checkpoint that recognises; none means the one the latents were scored with, if any",
        path=True,
        neutral=True,
    )
    generator: str | None = key(
        None, "for random latents, given as to infer; none means the one that was inverted", path=True, neutral=True
    )


@dataclass(frozen=True)
class GenerationConfig(JudgedConfig):
    """Generated clips against real ones: inception score, Fréchet distance, and whether a classifier hears their labels."""

    shards: str = key(REQUIRED, "real clips: run folder of an ingest", path=True, neutral=True)
    generated: dict[str, str] = key(
        {}, "generated clips by the row they stand in: {name: shards by `invertone generate`}", path=True, neutral=True
    )
    classifier: str = key(REQUIRED, "checkpoint of a ResNet-18 classifier", path=True, neutral=True)
    reference: list[str] = key(
        ["train"], "splits of the real clips that Fréchet distances are taken to", choices=SPLITS
    )


@dataclass(frozen=True)
class AccuracyConfig(JudgedConfig):
    """Accuracy of classifiers that know different shares of the labels, or learnt from different clips."""

    shards: str = key(REQUIRED, "clips to hear: run folder of an ingest", path=True, neutral=True)
    classifiers: dict[str, list[str]] = key(
        {},
        "checkpoints by the row they stand in, several seeds of the same together: {name: [checkpoint, checkpoint]}",
        path=True,
        neutral=True,
    )


@dataclass(frozen=True)
class ClassifierTableConfig(EvalConfig):
    """A classifier's accuracy and confusions on the clips themselves."""

    shards: str = key(REQUIRED, "run folder of an ingest", path=True, neutral=True)
    classifier: str = key(
        REQUIRED, "checkpoint to judge: classifier, cnn, gaae, ggan or bigan", path=True, neutral=True
    )


CATALOGUE = Catalogue(
    stage="eval",
    selector="table",
    schemas={
        "reconstruction": ReconstructionConfig,
        "generation": GenerationConfig,
        "accuracy": AccuracyConfig,
        "classifier": ClassifierTableConfig,
    },
)
