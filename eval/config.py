"""Keys of `invertone eval`: one schema per table. Imports neither torch nor Ray."""

from __future__ import annotations

from dataclasses import dataclass

from invertone.cluster.config.schema import REQUIRED, Catalogue, key
from invertone.cluster.config.shared import BulkConfig
from invertone.cluster.formats.shards import SPLITS

DEVICES = ("auto", "cpu", "cuda")
MEASURES = (
    "clips", "failed", "accuracy", "inception_score", "inception_spread", "frechet_logits", "frechet_penultimate",
    "feature_distance", "cosine_distance", "ssim", "spectrogram_mae", "spectrogram_mse", "waveform_mse", "waveform_mae",
    "psnr", "explained_variance", "recovered", "latent_error", "evaluations", "seconds",
)  # fmt: skip
"""Columns of tables of clips, in their order; `invertone.eval.measures.columns` says what each is."""
LEVELS = ("untouched", "peak", "rms")
GROUPINGS = ("auto", "recording", "speaker")
TARGETS = ("label", "speaker", "gender")


@dataclass(frozen=True)
class EvalConfig(BulkConfig):
    """Keys that every table has."""

    table: str = key(REQUIRED, "which table")
    out: str = key(REQUIRED, "run folder that takes the table", path=True, neutral=True)
    splits: list[str] = key([], "only clips of these splits; empty means all", choices=SPLITS)
    batch: int = key(64, "clips at a time; does not change the result", minimum=1, neutral=True)
    device: str = key("auto", "auto takes GPUs where the cluster has them", choices=DEVICES, neutral=True)
    needs: dict[str, str] = key(
        {},
        "how to make what the table is made of: {key: command, in which {name} is the run folder's name}",
        neutral=True,
    )
    partial: bool = key(False, "leave out rows whose runs are not there, instead of refusing", neutral=True)


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


@dataclass(frozen=True)
class SampleConfig(EvalConfig):
    """Keys of the tables that look at a sample of clips."""

    clips: int = key(
        1_000, "at most so many clips of each side or split, chosen by seed and key", minimum=2, maximum=10_000
    )
    seed: int = key(0, "decides which clips, the folds and the bootstrap", minimum=0)


@dataclass(frozen=True)
class DeepfakeConfig(SampleConfig):
    """Whether logistic regression and SVM tell real from generated clips: by latents, spectrograms, or mere loudness."""

    real: str = key(REQUIRED, "run folder of an infer over recordings", path=True, neutral=True)
    fake: str = key(REQUIRED, "run folder of the same infer over clips that a generator made", path=True, neutral=True)
    real_shards: str | None = key(
        None, "the recordings; none means those the latents were made from", path=True, neutral=True
    )
    fake_shards: str | None = key(
        None, "the generated clips; none means those the latents were made from", path=True, neutral=True
    )
    level: str = key(
        "rms",
        "gain of both sides before spectrograms and loudness: equal RMS (-30 dB), equal peak (full scale), or as they are",
        choices=LEVELS,
    )
    match_labels: bool = key(True, "as many real as fake clips of every label, so that the label is no hint")
    folds: int = key(10, "of the cross-validation", minimum=2, maximum=100)
    groups: str = key(
        "auto",
        "what is never in two folds; auto: the speaker where there are enough of them, else the recording",
        choices=GROUPINGS,
    )
    components: int = key(64, "principal components of standardised spectrograms", minimum=1)
    published: dict[str, list[float]] = key(
        {}, "others' accuracies by row, [logistic regression, SVM], as shares, to set beside"
    )


@dataclass(frozen=True)
class ProbesConfig(SampleConfig):
    """What latents know: linear probes from latent columns to labels, speakers, genders."""

    latents: str = key(REQUIRED, "run folder of an infer", path=True, neutral=True)
    shards: str | None = key(None, "the clips; none means those the latents were made from", path=True, neutral=True)
    targets: list[str] = key(["label", "speaker", "gender"], "what is to be told", choices=TARGETS)
    columns: list[str] = key(["latent"], "from which columns, such as latent, guided_latent, class_probabilities")
    folds: int = key(5, "of the cross-validation, where splits do not serve", minimum=2, maximum=100)
    groups: str = key(
        "auto",
        "what is never in two folds; auto: the speaker where there are enough of them, else the recording",
        choices=GROUPINGS,
    )
    components: int = key(64, "principal components of standardised spectrograms", minimum=1)


@dataclass(frozen=True)
class LatentSpaceConfig(SampleConfig):
    """What lies near what: t-SNE, nearest neighbours, and sounds between two latents."""

    latents: list[str] = key(REQUIRED, "run folder of an infer, or several: [runs/a, runs/b]", path=True, neutral=True)
    shards: list[str] = key([], "the clips of each run, in order; empty means those recorded", path=True, neutral=True)
    clips: int = key(2_000, "at most so many clips, of all runs together", minimum=2, maximum=10_000)
    column: str = key("latent", "which latents: latent, guided_latent")
    generator: str | None = key(
        None, "for sounds between latents; none means the one that was inverted", path=True, neutral=True
    )
    neighbours: int = key(10, "nearest clips by cosine whose labels are compared", minimum=1, maximum=1_000)
    perplexity: float = key(30.0, "of t-SNE; made smaller for few clips", minimum=1.0)
    examples: int = key(
        4, "clips whose neighbours, and pairs between which sounds are made; 0 for none", minimum=0, maximum=50
    )
    steps: int = key(7, "sounds from one latent to another", minimum=2, maximum=50)


CATALOGUE = Catalogue(
    stage="eval",
    selector="table",
    schemas={
        "reconstruction": ReconstructionConfig,
        "generation": GenerationConfig,
        "accuracy": AccuracyConfig,
        "classifier": ClassifierTableConfig,
        "deepfake": DeepfakeConfig,
        "probes": ProbesConfig,
        "latent-space": LatentSpaceConfig,
    },
)
