"""The measures of tables of clips, in the order of their columns: a line for each. Imports neither torch nor numpy.

A measure that is a mean over clips says `mean`, and names `per_clip`, a function of wanted and found waveforms [b, n] that
gives a number per clip, unless the reconstruction table counts it anyway. Any other names `estimate`, a function of a row's
sums and of those of the reference. One that cannot be made of the rows that inference writes says `sound`.
"""

from __future__ import annotations

from dataclasses import dataclass

_E = "invertone.eval.measures.estimated"


@dataclass(frozen=True)
class Measure:
    """title and format: of its column; better: ↑ or ↓; note: how it is to be read; caution: what is said after all notes.
    sound: whether rows of inference do not hold what it is made of. Functions are `module:name`."""

    name: str
    title: str
    format: str = ""
    better: str = ""
    note: str = ""
    caution: str = ""
    mean: bool = False
    per_clip: str = ""
    estimate: str = ""
    sound: bool = False

    @property
    def needs_sound(self) -> bool:
        """Whether the clips have to be heard again: inference's rows do not hold what it is made of."""
        return self.sound or bool(self.per_clip)


MEASURES = [
    Measure("trainings", "Trainings", ","),
    Measure("clips", "Clips", ","),
    Measure("failed", "Failed", ","),
    Measure(
        "accuracy",
        "Accuracy",
        ".1%",
        "↑",
        note="Accuracy: share of clips which the classifier hears as their label: of generated clips the one that was asked "
        "for, of inversions of clips without a label what it heard in the clip itself.",
        estimate=f"{_E}:accuracy",
    ),
    Measure(
        "inception_score",
        "IS",
        ".2f",
        "↑",
        note="IS: inception score on the classifier's posteriors, mean over groups, as WaveGAN (Donahue et al. "
        "2018); ± is the standard deviation over groups (ddof 0). It grows with clips per group and depends "
        "on the classifier: compare rows of one table, not with figures of another classifier.",
        estimate=f"{_E}:inception",
    ),
    Measure("inception_spread", "IS ± (groups)", ".2f", estimate=f"{_E}:inception_spread"),
    Measure(
        "frechet_logits",
        "FD logits",
        ".3f",
        "↓",
        note="FD: Fréchet distance to the reference clips on the classifier's logits (as TiFGAN) and penultimate "
        "activations; biased upwards for few clips, so compare rows of equally many.",
        estimate=f"{_E}:frechet_logits",
    ),
    Measure("frechet_penultimate", "FD penultimate", ".3f", "↓", estimate=f"{_E}:frechet_penultimate", sound=True),
    Measure(
        "feature_distance",
        "Feature distance",
        ".4f",
        "↓",
        note="Feature distance: mean squared difference of the classifier's block activations. Cosine distance: of"
        " its penultimate activations.",
        mean=True,
    ),
    Measure("cosine_distance", "Cosine distance", ".4f", "↓", mean=True),
    Measure(
        "ssim",
        "SSIM",
        ".4f",
        "↑",
        note="SSIM, MAE and MSE of spectrograms are of log magnitudes (512/128, 87 dB below full scale, scaled to "
        "[-1, 1]).",
        mean=True,
    ),
    Measure("spectrogram_mae", "Spectrogram MAE", ".4f", "↓", mean=True),
    Measure("spectrogram_mse", "Spectrogram MSE", ".4f", "↓", mean=True),
    Measure(
        "waveform_mse",
        "Waveform MSE",
        ".3g",
        "↓",
        caution="Waveform measures reward silence: read them against the row *silence*.",
        mean=True,
    ),
    Measure("waveform_mae", "Waveform MAE", ".3g", "↓", mean=True),
    Measure(
        "psnr",
        "PSNR dB",
        ".1f",
        "↑",
        note="PSNR: of waveforms of full scale ±1 (peak to peak 2), from the mean squared error of all clips.",
        estimate=f"{_E}:psnr",
    ),
    Measure(
        "explained_variance",
        "Explained variance",
        ".3f",
        "↑",
        note="Explained variance is of waveforms, pooled over clips: 1 - sum of residual variances / sum of clip "
        "variances. Recovered phases are never a clip's own: of GAAE's family read the spectrogram's measures.",
        estimate=f"{_E}:explained_variance",
    ),
    Measure(
        "recovered",
        "Recovered",
        ".1%",
        "↑",
        note="Recovered: share of clips whose own explained variance is at least 0.99.",
        mean=True,
    ),
    Measure(
        "latent_error",
        "Latent error",
        ".4f",
        "↓",
        note="Latent error: root mean square difference, over clips and coordinates, of the latent that made the "
        "clip and the recovered one; of clips that the inverted generator made (`invertone generate`).",
        estimate=f"{_E}:latent_error",
    ),
    Measure(
        "evaluations",
        "Evaluations",
        ",.1f",
        "↓",
        note="Evaluations: of the inverter's objective, mean per clip.",
        estimate=f"{_E}:evaluations",
    ),
    Measure("seconds", "Seconds", ".3f", "↓", note="Seconds: of compute per clip, of the whole inference run."),
]
